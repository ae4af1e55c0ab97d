/** What the page uses of uPlot; the library brings no types of its own here. */
declare const uPlot: any;
export default uPlot;
