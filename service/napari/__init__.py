"""The napari plugin: live phase as a layer, recordings as files, and the panel that controls both.

`napari.yaml` tells napari what there is. `live_layer` keeps a layer on the newest frame, `recording_reader` opens what
was recorded, `shapes` turns drawn shapes into regions and back, `panel` is the widget. All but the reader rest on
`qpi_live.PhaseClient`, so the microscope may stand at another machine. Needs the extra `napari`.
"""
