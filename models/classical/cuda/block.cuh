// What the threads of one block do together. Each of these is entered by all of them. They are not inlined: a fit has them
// in so many places that it would take many seconds to compile.
#pragma once

constexpr int block_threads = 256;
constexpr float beyond_all = 3.4028235e38f;  // sorts behind every sample

// `body(k)` for k from 0 to `count`, shared among the threads.
template <class Body>
__device__ __forceinline__ void over(int count, Body body) {
#pragma unroll 1
    for (int k = threadIdx.x; k < count; k += block_threads) body(k);
}

// All threads' values joined, in the same order on every device; every thread gets the result.
template <class Value, class Join>
__device__ __noinline__ Value join_all(Value value, Join join) {
    __shared__ Value scratch[block_threads];
    scratch[threadIdx.x] = value;
    for (int reach = block_threads / 2; reach > 0; reach /= 2) {
        __syncthreads();
        if (threadIdx.x < reach) scratch[threadIdx.x] = join(scratch[threadIdx.x], scratch[threadIdx.x + reach]);
    }
    __syncthreads();
    const Value all = scratch[0];
    __syncthreads();  // whoever comes next may use the scratch
    return all;
}

struct Add {
    template <class Value>
    __device__ Value operator()(Value first, Value second) const {
        return first + second;
    }
};

struct Larger {
    __device__ double operator()(double first, double second) const { return max(first, second); }
};

__device__ __forceinline__ int power_of_two_from(int count) {
    int padded = 1;
    while (padded < count) padded *= 2;
    return padded;
}

// Rising order (Batcher 1968), of a power of two of keys.
__device__ __noinline__ void sort_rising(float* keys, int padded) {
    for (int size = 2; size <= padded; size *= 2) {
        for (int reach = size / 2; reach > 0; reach /= 2) {
            for (int pair = threadIdx.x; pair < padded / 2; pair += block_threads) {
                const int low = 2 * pair - (pair & (reach - 1)), high = low + reach;
                const float first = keys[low], second = keys[high];
                if ((first > second) == ((low & size) == 0)) {
                    keys[low] = second;
                    keys[high] = first;
                }
            }
            __syncthreads();
        }
    }
}

// An interval that holds some of the sorted samples: how wide it is, and the first of them.
struct Interval {
    float width;
    int first;
};

struct Narrower {
    __device__ Interval operator()(Interval one, Interval other) const {
        const bool is_one = one.width < other.width || (one.width == other.width && one.first < other.first);
        return is_one ? one : other;
    }
};

// The narrowest interval, of equals the first, that holds `held` of `count` sorted samples.
__device__ __noinline__ Interval narrowest(const float* ordered, int count, int held) {
    Interval least = {beyond_all, 0x7fffffff};
    for (int first = threadIdx.x; first + held <= count; first += block_threads) {
        least = Narrower()(least, Interval{ordered[first + held - 1] - ordered[first], first});
    }
    return join_all(least, Narrower());
}

// The median of the samples in an interval.
__device__ __forceinline__ float middle_of(const float* ordered, Interval interval, int held) {
    return 0.5f * (ordered[interval.first + (held - 1) / 2] + ordered[interval.first + held / 2]);
}
