"""Networks of one's own: kept (`registry`), judged (`gate`), and made from a recording (`adapt`). Start in `gate`."""
