"""The networks, in torch: interferogram in [0, 1] → phase over 12 rad in [0, 1]. Serving never imports them."""
