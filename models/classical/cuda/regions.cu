// Integration between branch cuts, exact and parallel.
//
// A run is a stretch of one row whose links are all open, and has the number of its first pixel. Turns are counted along
// rows as though there were no cuts; what is missing is one number of turns a run. Runs are joined in a union-find
// structure whose every link also says by how many turns the run differs from its parent. Outside of the cuts no closed
// path gains a turn, so whichever links make the tree, the turns between two runs come out the same, and the structure
// may be built by all threads at once (label equivalence as in Playne, Hawick 2018, with turns added to the labels).
// models/classical/unwrapping/regions.py is the same on the host.
#include "phase.cuh"

struct Link {
    int parent;
    int turns;  // of the run less those of its parent
};

using Word = unsigned long long;  // a link that is read, written and compared as one

__device__ __forceinline__ Word word_of(Link link) {
    return static_cast<Word>(static_cast<unsigned>(link.turns)) << 32 | static_cast<unsigned>(link.parent);
}

__device__ __forceinline__ Link link_of(Word word) {
    return {static_cast<int>(word & 0xffffffffu), static_cast<int>(word >> 32)};
}

__device__ __forceinline__ Link read_link(const Word* forest, int run) {
    return link_of(*static_cast<const volatile Word*>(forest + run));
}

// The root of a run, and the run's turns less the root's.
__device__ Link root_of(const Word* forest, int run) {
    int turns = 0;
    for (;;) {
        const Link up = read_link(forest, run);
        if (up.parent == run) return {run, turns};
        turns += up.turns;
        run = up.parent;
    }
}

// The same, and each run on the way is hung from its grandparent. Another thread may do the same or join the root to
// another one meanwhile: every link that was ever true stays true, and only a root's link is ever contended (see join).
// But a link written late may replace one that reached further, so this has no place where links shall become final.
__device__ Link shorten_to_root(Word* forest, int run) {
    int turns = 0;
    for (;;) {
        const Link up = read_link(forest, run);
        if (up.parent == run) return {run, turns};
        const Link further = read_link(forest, up.parent);
        if (further.parent != up.parent) {
            *static_cast<volatile Word*>(forest + run) = word_of({further.parent, up.turns + further.turns});
        }
        turns += up.turns;
        run = up.parent;
    }
}

// Let `second` have `difference` turns more than `first`. The root with the larger number hangs from the other, so that a
// region's root is its first run. If another thread joined that root first, look for the new ones.
__device__ void join(Word* forest, int first, int second, int difference) {
    for (;;) {
        const Link a = shorten_to_root(forest, first), b = shorten_to_root(forest, second);
        if (a.parent == b.parent) return;
        const int between_roots = a.turns + difference - b.turns;
        const int root = max(a.parent, b.parent);
        const Link link = {min(a.parent, b.parent), root == b.parent ? between_roots : -between_roots};
        const Word alone = word_of({root, 0});
        if (atomicCAS(forest + root, alone, word_of(link)) == alone) return;
    }
}

struct RowState {
    int turns;
    int run;  // column where the run began
};

struct Follow {
    __device__ RowState operator()(RowState first, RowState second) const {
        return {first.turns + second.turns, max(first.run, second.run)};
    }
};

// One block a row: the turns of each pixel relative to the first of its row, cuts ignored, and the column where the run
// begins that it belongs to. Every run starts as a region of its own.
extern "C" __global__ void count_turns(const float* wrapped_rad, const unsigned char* right, const Counts* counts,
                                       short* turns, short* run_start, Word* forest, int* region_pixels, int width) {
    __shared__ RowState scratch[row_threads];
    const bool has_cuts = counts->has_cuts != 0;
    const int row = blockIdx.x * width;
    const Share mine = share_of(width);
    RowState state = {0, 0}, all;
    for (int x = max(mine.begin, 1); x < mine.end; ++x) {
        state.turns -= turns_between(wrapped_rad[row + x - 1], wrapped_rad[row + x]);
        if (has_cuts && right[row + x - 1]) state.run = x;
    }
    state = join_before(state, RowState{0, 0}, scratch, Follow(), all);
    for (int x = mine.begin; x < mine.end; ++x) {
        bool begins = x == 0;
        if (x > 0) {
            state.turns -= turns_between(wrapped_rad[row + x - 1], wrapped_rad[row + x]);
            begins = has_cuts && right[row + x - 1];
        }
        if (begins) {
            state.run = x;
            forest[row + x] = word_of({row + x, 0});
            region_pixels[row + x] = 0;
        }
        turns[row + x] = static_cast<short>(state.turns);
        run_start[row + x] = static_cast<short>(state.run);
    }
}

// One block: hang the first run of each row from that of the highest row which the first column reaches without
// crossing a cut. Without cuts this is all there is to do. With cuts it leaves few joins to do, and short ways to the
// root: most rows are one run.
extern "C" __global__ void link_first_column(const float* wrapped_rad, const unsigned char* down, const Counts* counts,
                                             int* row_turns, Word* forest, int height, int width) {
    __shared__ RowState scratch[row_threads];
    const bool has_cuts = counts->has_cuts != 0;
    const Share mine = share_of(height);
    RowState state = {0, 0}, all;
    for (int y = max(mine.begin, 1); y < mine.end; ++y) {
        state.turns -= turns_between(wrapped_rad[(y - 1) * width], wrapped_rad[y * width]);
        if (has_cuts && down[(y - 1) * width]) state.run = y;
    }
    const RowState before = join_before(state, RowState{0, 0}, scratch, Follow(), all);
    state = before;
    for (int y = mine.begin; y < mine.end; ++y) {
        if (y > 0) state.turns -= turns_between(wrapped_rad[(y - 1) * width], wrapped_rad[y * width]);
        row_turns[y] = state.turns;
    }
    __syncthreads();
    state = before;
    for (int y = mine.begin; y < mine.end; ++y) {
        if (has_cuts && y > 0 && down[(y - 1) * width]) state.run = y;
        forest[y * width] = word_of({state.run * width, row_turns[y] - row_turns[state.run]});
    }
}

// A thread for each pixel: join its run with the one below. One open link between two runs is enough, the first.
extern "C" __global__ void link_rows(const float* wrapped_rad, const unsigned char* down, const Counts* counts,
                                     const short* turns, const short* run_start, Word* forest, int width) {
    if (counts->has_cuts == 0) return;
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const int row = blockIdx.y * width, row_below = row + width;
    if (down[row + x]) return;
    const int start = run_start[row + x], start_below = run_start[row_below + x];
    if (x > 0 && !down[row + x - 1] && run_start[row + x - 1] == start && run_start[row_below + x - 1] == start_below)
        return;
    const int step = turns_between(wrapped_rad[row + x], wrapped_rad[row_below + x]);
    join(forest, row + start, row_below + start_below, turns[row + x] - step - turns[row_below + x]);
}

// A thread for each pixel; the last of a run hangs the run from its root, for good, and counts its pixels. A run is wholly
// within the mask, where pixels do not count, or outside of it.
extern "C" __global__ void measure_regions(const unsigned char* right, const unsigned char* mask, Counts* counts,
                                           const short* run_start, Word* forest, int* region_pixels, int width) {
    if (counts->has_cuts == 0) return;
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const int row = blockIdx.y * width;
    if (x < width - 1 && !right[row + x]) return;
    const int start = run_start[row + x], run = row + start;
    const Link root = root_of(forest, run);
    *static_cast<volatile Word*>(forest + run) = word_of(root);
    if (counts->has_mask == 0 || !mask[run]) atomicAdd(&region_pixels[root.parent], x - start + 1);
    if (root.parent == run) atomicAdd(&counts->regions, 1);
}

// What a region has to be told from all others by: how many pixels it has, and of equals, which comes first.
__device__ __forceinline__ unsigned long long rank_of(int pixels, int root) {
    return static_cast<unsigned long long>(pixels) << 32 | static_cast<unsigned>(last_number - root);
}

__device__ void vote(const float* wrapped_rad, const short* turns, const short* run_start, const Word* forest,
                     Counts* counts, int* votes, int row, int x, int other_row, int other_x) {
    const Link here = read_link(forest, row + run_start[row + x]);
    const Link there = read_link(forest, other_row + run_start[other_row + other_x]);
    if (here.parent == there.parent) return;
    const int step = turns_between(wrapped_rad[row + x], wrapped_rad[other_row + other_x]);
    const int missing =
        turns[row + x] + here.turns - step - (turns[other_row + other_x] + there.turns);
    const bool in_order = here.parent < there.parent;
    int* const ballot = votes + 3 * static_cast<long long>(atomicAdd(&counts->votes, 1));
    ballot[0] = min(here.parent, there.parent);
    ballot[1] = max(here.parent, there.parent);
    ballot[2] = in_order ? missing : -missing;
}

// A thread for each pixel: where cuts enclose regions, find the largest, and let each blocked link between two regions
// vote for the turns that the second would need. The votes come in no particular order; the host counts them.
extern "C" __global__ void collect_votes(const float* wrapped_rad, const unsigned char* right, const unsigned char* down,
                                         Counts* counts, const short* turns, const short* run_start, const Word* forest,
                                         const int* region_pixels, int* votes, int height, int width) {
    if (counts->regions < 2) return;
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    if (x >= width) return;
    const int row = y * width;
    if (run_start[row + x] == x && read_link(forest, row + x).parent == row + x)
        atomicMax(&counts->largest, rank_of(region_pixels[row + x], row + x));
    if (x + 1 < width && right[row + x])
        vote(wrapped_rad, turns, run_start, forest, counts, votes, row, x, row, x + 1);
    if (y + 1 < height && down[row + x])
        vote(wrapped_rad, turns, run_start, forest, counts, votes, row, x, row + width, x);
}

// A thread for each pixel: the unwrapped phase of what is one region.
extern "C" __global__ void add_turns(const float* wrapped_rad, const short* turns, const short* run_start,
                                     const Word* forest, float* phase_rad, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const int row = blockIdx.y * width;
    const int all_turns = turns[row + x] + read_link(forest, row + run_start[row + x]).turns;
    phase_rad[row + x] = wrapped_rad[row + x] + two_pi * static_cast<float>(all_turns);
}

// A thread for each region: put the turns that were voted for where its root is.
extern "C" __global__ void settle_regions(const int* roots, const int* turns_to_add, int* region_turns, int regions) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < regions) region_turns[roots[i]] = turns_to_add[i];
}

// A thread for each pixel: the unwrapped phase of several regions, and which pixels are outside of the largest one and of
// the mask.
extern "C" __global__ void add_turns_of_regions(const float* wrapped_rad, const unsigned char* mask, Counts* counts,
                                                const short* turns, const short* run_start, const Word* forest,
                                                const int* region_turns, int largest, float* phase_rad,
                                                unsigned char* disputed, int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (x >= width) return;
    const int row = blockIdx.y * width;
    const Link root = read_link(forest, row + run_start[row + x]);
    const int all_turns = turns[row + x] + root.turns + region_turns[root.parent];
    phase_rad[row + x] = wrapped_rad[row + x] + two_pi * static_cast<float>(all_turns);
    const bool is_disputed = root.parent != largest && (counts->has_mask == 0 || !mask[row + x]);
    disputed[row + x] = is_disputed;
    if (is_disputed) counts->has_disputed = 1;
}
