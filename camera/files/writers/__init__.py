"""How recordings are written: pages, whole one by one (`page_file`), and what is known of each frame (`frame_list`).

`recorded_layer` puts both together for one layer, `manifest` says what the recording is.
"""
