// How many residues a wrapped phase has. models/classical/unwrapping/branch_cuts.py says what they are. Most frames have none and
// need no cuts; for the others the host, which places the cuts, finds out where they are.
#include "phase.cuh"

// Turns gained clockwise around the corner between the pixels (y, x) and (y + 1, x + 1): −1, 0 or 1.
__device__ __forceinline__ int charge_at(const float* wrapped_rad, int pixel, int width) {
    const float here = wrapped_rad[pixel], right = wrapped_rad[pixel + 1];
    const float below = wrapped_rad[pixel + width], across = wrapped_rad[pixel + width + 1];
    return turns_between(here, right) + turns_between(right, across) - turns_between(below, across) -
           turns_between(here, below);
}

// One block a row of corners.
extern "C" __global__ void count_residues(const float* wrapped_rad, Counts* counts, int width) {
    __shared__ int found;
    const int y = blockIdx.x;
    if (threadIdx.x == 0) found = 0;
    __syncthreads();
    int mine = 0;
    for (int x = threadIdx.x; x < width - 1; x += row_threads) mine += charge_at(wrapped_rad, y * width + x, width) != 0;
    if (mine > 0) atomicAdd(&found, mine);
    __syncthreads();
    if (threadIdx.x == 0 && found > 0) atomicAdd(&counts->residues, found);
}
