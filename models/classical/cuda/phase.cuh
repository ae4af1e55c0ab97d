// What the kernels of the classical chain share. Pixels are numbered y * width + x.
#pragma once

constexpr float two_pi = 6.283185307179586f;
constexpr float per_turn = 0.15915494309189535f;

// Whole turns by which the step between two neighbours' wrapped phases exceeds −π … π.
__device__ __forceinline__ int turns_between(float phase_rad, float next_phase_rad) {
    return static_cast<int>(rintf((next_phase_rad - phase_rad) * per_turn));
}

// What is counted while a frame is unwrapped, and what the host says of it.
struct Counts {
    int residues;
    int has_cuts, has_mask;
    int bright_links;  // that cuts block
    int regions;       // between cuts; 0 where there are no cuts and nobody counted
    int votes;
    int has_disputed;            // whether a pixel is
    int unused;
    unsigned long long largest;  // region: its pixels, then how far its root is from the last number
};

constexpr int last_number = 0x7fffffff;

constexpr int row_threads = 128;  // of the blocks that work on a row each

// Which part of `length` things in a row belongs to this thread of `row_threads`: [begin, end).
struct Share {
    int begin, end;
};

__device__ __forceinline__ Share share_of(int length) {
    const int each = (length + row_threads - 1) / row_threads;
    const int begin = min(static_cast<int>(threadIdx.x) * each, length);
    return {begin, min(begin + each, length)};
}

// The values of all threads before this one, joined in their order (Hillis, Steele 1986). The first thread gets `none`.
// `scratch` has room for row_threads values; `all` becomes the join of every thread's value.
template <class Value, class Join>
__device__ Value join_before(Value value, Value none, Value* scratch, Join join, Value& all) {
    const int thread = threadIdx.x;
    scratch[thread] = value;
    __syncthreads();
    for (int reach = 1; reach < row_threads; reach *= 2) {
        const Value before = thread >= reach ? scratch[thread - reach] : none;
        __syncthreads();
        scratch[thread] = join(before, scratch[thread]);
        __syncthreads();
    }
    all = scratch[row_threads - 1];
    const Value before = thread > 0 ? scratch[thread - 1] : none;
    __syncthreads();  // whoever comes next may use the scratch
    return before;
}

struct Sum {
    __device__ int operator()(int first, int second) const { return first + second; }
};
