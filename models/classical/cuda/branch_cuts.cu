// Branch cuts, placed in parallel: each residue is balanced by one of opposite charge or by the border.
//
// Every residue chooses the nearest partner that is still free, or the border where that is nearer. Two that choose
// each other are tied, and so is one that chooses the border; the others choose again. Since distances between pairs
// are made all different, somebody is always tied, and the outcome is the one of tying the closest pair of the whole
// frame first, then the next, whatever order the threads run in (Preis 1999 shows it of locally heaviest edges).
// It is the growing squares of models/classical/branch_cuts.py without their dependence on the order of residues.
#include "phase.cuh"

constexpr int far_threads = 1024;

// How near two residues are: first the half edge of the square around one that reaches the other, then the links that
// the cut blocks, then a number without meaning, and last the residues' own places. The meaningless number matters:
// where many distances are equal, as in noise, ties by place would string the choices up in long chains, of which only
// the end is tied in each round.
struct Nearness {
    unsigned long long distance;
    int smaller, larger;
};

__device__ __forceinline__ unsigned scatter(unsigned value) {  // Wellons' triple32 less its third step
    value ^= value >> 17;
    value *= 0xed5ad4bbu;
    value ^= value >> 11;
    value *= 0xac4c1b51u;
    value ^= value >> 15;
    return value;
}

__device__ __forceinline__ Nearness nearness(int i, int corner, int j, int other_corner, int width) {
    const int dy = abs(corner / width - other_corner / width), dx = abs(corner % width - other_corner % width);
    const int smaller = min(i, j), larger = max(i, j);
    const unsigned meaningless = scatter(smaller + scatter(larger)) >> 1;
    return {static_cast<unsigned long long>(max(dy, dx)) << 48 | static_cast<unsigned long long>(dy + dx) << 31 |
                meaningless,
            smaller, larger};
}

__device__ __forceinline__ bool is_nearer(const Nearness& one, const Nearness& other) {
    if (one.distance != other.distance) return one.distance < other.distance;
    return one.smaller != other.smaller ? one.smaller < other.smaller : one.larger < other.larger;
}

__device__ __forceinline__ int squares_to_border(int corner, int height, int width) {
    const int y = corner / width, x = corner % width;
    return min(min(y, height - 2 - y), min(x, width - 2 - x)) + 1;
}

__device__ __forceinline__ bool is_tied(int residue, const int* choices) {
    const int choice = choices[residue];
    return choice == border || (choice >= 0 && choices[choice] == residue);
}

// One round among residues at most `reach` apart. Choices are read from one array and written to another, so that no
// thread sees half of a round.
extern "C" __global__ void choose_near(const int* corners, const int* residue_at, const Counts* counts,
                                       const int* choices, int* next_choices, int reach, int height, int width) {
    const int residues = counts->residues;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < residues; i += gridDim.x * blockDim.x) {
        if (is_tied(i, choices)) {
            next_choices[i] = choices[i];
            continue;
        }
        const int corner = corners[i], y = corner / width, x = corner % width;
        const int to_border = squares_to_border(corner, height, width);
        const bool is_positive = residue_at[corner] > 0;
        int choice = undecided;
        Nearness nearest = {~0ull, last_number, last_number};
        for (int square = 1; square <= reach && choice == undecided; ++square) {
            const int top = max(y - square, 0), bottom = min(y + square, height - 2);
            for (int other_y = top; other_y <= bottom; ++other_y) {
                const bool is_edge = other_y == y - square || other_y == y + square;
                for (int other_x = x - square; other_x <= x + square; other_x += is_edge ? 1 : 2 * square) {
                    if (other_x < 0 || other_x > width - 2) continue;
                    const int other_corner = other_y * width + other_x;
                    const int there = residue_at[other_corner];
                    if (there == 0 || (there > 0) == is_positive) continue;
                    const int j = abs(there) - 1;
                    const Nearness near = nearness(i, corner, j, other_corner, width);
                    if (is_nearer(near, nearest) && !is_tied(j, choices)) {
                        nearest = near;
                        choice = j;
                    }
                }
            }
            if (choice == undecided && square >= to_border) choice = border;
        }
        next_choices[i] = choice;
    }
}

// One block ties all that is left: few residues, far apart, for whom it is cheaper to look at each other than at the
// frame. `left` and `next_left` have room for every residue.
extern "C" __global__ void __launch_bounds__(far_threads)
    choose_far(const int* corners, const int* residue_at, const Counts* counts, int* choices, int* left,
               int* next_left, int height, int width) {
    __shared__ int left_count;
    const int residues = counts->residues;
    if (residues == 0) return;
    if (threadIdx.x == 0) left_count = 0;
    __syncthreads();
    // In whatever order: the outcome does not depend on it.
    for (int i = threadIdx.x; i < residues; i += blockDim.x) {
        if (!is_tied(i, choices)) left[atomicAdd(&left_count, 1)] = i;
    }
    __syncthreads();
    while (left_count > 0) {
        const int count = left_count;
        for (int a = threadIdx.x; a < count; a += blockDim.x) {
            const int i = left[a], corner = corners[i];
            const bool is_positive = residue_at[corner] > 0;
            const int to_border = squares_to_border(corner, height, width);
            int choice = border;
            // A partner as near as the border is preferred to it, as on the host.
            Nearness nearest = {static_cast<unsigned long long>(to_border + 1) << 48, -1, -1};
            for (int b = 0; b < count; ++b) {
                const int j = left[b], other_corner = corners[j];
                if ((residue_at[other_corner] > 0) == is_positive) continue;
                const Nearness near = nearness(i, corner, j, other_corner, width);
                if (is_nearer(near, nearest)) {
                    nearest = near;
                    choice = j;
                }
            }
            choices[i] = choice;
        }
        __syncthreads();
        if (threadIdx.x == 0) left_count = 0;
        __syncthreads();
        for (int a = threadIdx.x; a < count; a += blockDim.x) {
            if (!is_tied(left[a], choices)) next_left[atomicAdd(&left_count, 1)] = left[a];
        }
        __syncthreads();
        int* const swapped = left;
        left = next_left;
        next_left = swapped;
    }
}

// Block the links along the staircase nearest to the straight line between two corners.
__device__ void cut(int corner, int to_corner, unsigned char* right, unsigned char* down, int width) {
    int y = corner / width, x = corner % width;
    const int to_y = to_corner / width, to_x = to_corner % width;
    const int steps_y = abs(to_y - y), steps_x = abs(to_x - x);
    const int way_y = to_y > y ? 1 : -1, way_x = to_x > x ? 1 : -1;
    int done_y = 0, done_x = 0;
    while (done_y < steps_y || done_x < steps_x) {
        // Take the step that keeps nearer to the line, i.e. the axis that is behind in its share of the way.
        if (static_cast<long long>(2 * done_x + 1) * steps_y < static_cast<long long>(2 * done_y + 1) * steps_x) {
            down[y * width + (way_x > 0 ? x + 1 : x)] = 1;
            x += way_x;
            ++done_x;
        } else {
            right[(way_y > 0 ? y + 1 : y) * width + x] = 1;
            y += way_y;
            ++done_y;
        }
    }
}

// Block the links from a corner straight to the nearest border.
__device__ void cut_to_border(int corner, unsigned char* right, unsigned char* down, int height, int width) {
    const int y = corner / width, x = corner % width;
    const int up = y, below = height - 2 - y, left = x, beyond = width - 2 - x;
    const int nearest = min(min(up, below), min(left, beyond));
    if (nearest == up) {
        for (int at = 0; at <= y; ++at) right[at * width + x] = 1;
    } else if (nearest == below) {
        for (int at = y + 1; at < height; ++at) right[at * width + x] = 1;
    } else if (nearest == left) {
        for (int at = 0; at <= x; ++at) down[y * width + at] = 1;
    } else {
        for (int at = x + 1; at < width; ++at) down[y * width + at] = 1;
    }
}

// Cuts may meet and cross: all that threads write is 1, so it does not matter who writes last.
extern "C" __global__ void draw_cuts(const int* corners, const int* choices, const Counts* counts,
                                     unsigned char* right, unsigned char* down, int height, int width) {
    const int residues = counts->residues;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < residues; i += gridDim.x * blockDim.x) {
        const int partner = choices[i];
        if (partner == border) {
            cut_to_border(corners[i], right, down, height, width);
        } else if (partner > i) {
            cut(corners[i], corners[partner], right, down, width);
        }
    }
}
