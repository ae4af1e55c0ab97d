"""Phase of whole recordings: what is to be done (`job`), one region of it (`region`), who does it (`workers`).

`archive` is where to start: it cuts recordings into regions, has them worked on, and goes on where it was interrupted.
"""
