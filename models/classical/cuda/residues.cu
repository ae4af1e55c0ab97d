// The residues of a wrapped phase, in raster order. models/classical/branch_cuts.py says what they are.
//
// A corner has the number of the pixel up and to the left of it. Counting comes first, listing second, because the
// place of a residue in the list depends on all before it; most frames have none, and the listing then ends at once.
#include "phase.cuh"

// Turns gained clockwise around the corner between the pixels (y, x) and (y + 1, x + 1): −1, 0 or 1.
__device__ __forceinline__ int charge_at(const float* wrapped_rad, int pixel, int width) {
    const float here = wrapped_rad[pixel], right = wrapped_rad[pixel + 1];
    const float below = wrapped_rad[pixel + width], across = wrapped_rad[pixel + width + 1];
    return turns_between(here, right) + turns_between(right, across) - turns_between(below, across) -
           turns_between(here, below);
}

// One block a row of corners.
extern "C" __global__ void count_residues(const float* wrapped_rad, int* row_counts, Counts* counts, int width) {
    __shared__ int found;
    const int y = blockIdx.x;
    if (threadIdx.x == 0) found = 0;
    __syncthreads();
    int mine = 0;
    for (int x = threadIdx.x; x < width - 1; x += row_threads) mine += charge_at(wrapped_rad, y * width + x, width) != 0;
    if (mine > 0) atomicAdd(&found, mine);
    __syncthreads();
    if (threadIdx.x == 0) {
        row_counts[y] = found;
        if (found > 0) {
            atomicAdd(&counts->residues, found);
            counts->has_cuts = 1;
        }
    }
}

// One block: each row's count becomes the count of all rows before it.
extern "C" __global__ void start_rows(int* row_counts, const Counts* counts, int rows) {
    __shared__ int scratch[row_threads];
    if (counts->residues == 0) return;
    const Share mine = share_of(rows);
    int sum = 0, all;
    for (int y = mine.begin; y < mine.end; ++y) sum += row_counts[y];
    int before = join_before(sum, 0, scratch, Sum(), all);
    for (int y = mine.begin; y < mine.end; ++y) {
        const int here = row_counts[y];
        row_counts[y] = before;
        before += here;
    }
}

// One block a row of corners. `corners` lists the residues' corners; `residue_at` is 0 on corners without a residue
// and else its place in the list plus one, times its charge; `choices` is set to `undecided` for every residue.
extern "C" __global__ void list_residues(const float* wrapped_rad, const int* first_of_row, const Counts* counts,
                                         int* corners, int* residue_at, int* choices, int width) {
    __shared__ int scratch[row_threads];
    if (counts->residues == 0) return;
    const int y = blockIdx.x;
    const Share mine = share_of(width - 1);
    int found = 0, all;
    for (int x = mine.begin; x < mine.end; ++x) found += charge_at(wrapped_rad, y * width + x, width) != 0;
    int next = first_of_row[y] + join_before(found, 0, scratch, Sum(), all);
    for (int x = mine.begin; x < mine.end; ++x) {
        const int corner = y * width + x;
        const int charge = charge_at(wrapped_rad, corner, width);
        residue_at[corner] = charge * (next + 1);
        if (charge != 0) {
            corners[next] = corner;
            choices[next] = undecided;
            ++next;
        }
    }
}
