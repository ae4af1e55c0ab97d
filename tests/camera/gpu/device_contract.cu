// What the contract suite of devices launches: arguments of every kind, blocks that share, and a fault.

extern "C" __global__ void scale(float* values, int count, float factor, unsigned char shift) {
    const int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) values[at] = values[at] * factor + shift;
}

extern "C" __global__ void reverse_blocks(int* values) {
    __shared__ int kept[64];
    kept[threadIdx.x] = values[blockIdx.x * 64 + threadIdx.x];
    __syncthreads();
    values[blockIdx.x * 64 + threadIdx.x] = kept[63 - threadIdx.x] + OFFSET;
}

extern "C" __global__ void fault(int* values) {
    if (threadIdx.x == 0) *(values + (1ll << 40)) = 1;
}
