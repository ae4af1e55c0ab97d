"""A day on a GPU, prepared to the minute: the steps, what runs them, and the wheels they need. See `bench/gpu_day.sh`.

`plan` has the steps in order of worth, `runner` runs one without letting it spoil the next; both need the standard
library alone. `wheels` collects what a machine without a network lacks.
"""
