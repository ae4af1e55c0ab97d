// What the background fit needs of each pixel, and how it is taken off each; ground_fit.cu has the fit itself. The order of
// the additions is the host's (models/classical/aberration.py), so that both fit the same numbers.
#include "phase.cuh"

constexpr int tile_columns = 256;
constexpr int most_terms = 7;  // of a polynomial of order 6

// A block of tile_columns threads for each row of means and each tile of whole blocks of pixels.
extern "C" __global__ void block_means(const float* phase_rad, float* means, int block_y, int block_x,
                                       int means_across, int width) {
    __shared__ float column_sums[tile_columns];
    const int means_in_tile = tile_columns / block_x;
    const int first_mean = blockIdx.x * means_in_tile;
    const int column = first_mean * block_x + threadIdx.x;
    float sum = 0;
    if (column < means_across * block_x) {
        for (int y = blockIdx.y * block_y; y < (blockIdx.y + 1) * block_y; ++y) sum += phase_rad[y * width + column];
    }
    column_sums[threadIdx.x] = sum;
    __syncthreads();
    const int mean = first_mean + threadIdx.x;
    if (threadIdx.x < means_in_tile && mean < means_across) {
        float total = 0;
        for (int x = threadIdx.x * block_x; x < (threadIdx.x + 1) * block_x; ++x) total += column_sums[x];
        means[blockIdx.y * means_across + mean] = total / static_cast<float>(block_y * block_x);
    }
}

// Likewise over what is not masked, 0 where all is; and which means are `lit`: of at least half of their pixels.
extern "C" __global__ void lit_block_means(const float* phase_rad, const unsigned char* mask, float* means,
                                           unsigned char* lit, int block_y, int block_x, int means_across, int width) {
    __shared__ float column_sums[tile_columns];
    __shared__ int column_lit[tile_columns];
    const int means_in_tile = tile_columns / block_x;
    const int first_mean = blockIdx.x * means_in_tile;
    const int column = first_mean * block_x + threadIdx.x;
    float sum = 0;
    int lit_px = 0;
    if (column < means_across * block_x) {
        for (int y = blockIdx.y * block_y; y < (blockIdx.y + 1) * block_y; ++y) {
            const int pixel = y * width + column;
            sum += mask[pixel] ? 0 : phase_rad[pixel];
            lit_px += mask[pixel] ? 0 : 1;
        }
    }
    column_sums[threadIdx.x] = sum;
    column_lit[threadIdx.x] = lit_px;
    __syncthreads();
    const int mean = first_mean + threadIdx.x;
    if (threadIdx.x < means_in_tile && mean < means_across) {
        float total = 0;
        int total_lit = 0;
        for (int x = threadIdx.x * block_x; x < (threadIdx.x + 1) * block_x; ++x) {
            total += column_sums[x];
            total_lit += column_lit[x];
        }
        means[blockIdx.y * means_across + mean] = total / static_cast<float>(max(total_lit, 1));
        lit[blockIdx.y * means_across + mean] = 2 * total_lit >= block_y * block_x;
    }
}

// One block a row: take Σ c[i, j] y^i x^j off each pixel, as one polynomial in x, by Horner's rule. y and x run from −1
// to 1 across the frame. Powers of y are summed in double precision, which only one thread a term has to.
extern "C" __global__ void subtract_polynomial(const double* coefficients, int terms, float* phase_rad, int height,
                                               int width) {
    __shared__ float row[most_terms];
    const int y = blockIdx.x;
    if (threadIdx.x < terms) {
        const double at_y = 2.0 * y / (height - 1) - 1;
        double power_sum = 0;
        for (int i = terms - 1; i >= 0; --i) power_sum = power_sum * at_y + coefficients[i * terms + threadIdx.x];
        row[threadIdx.x] = static_cast<float>(power_sum);
    }
    __syncthreads();
    const float scale = static_cast<float>(2.0 / (width - 1));
    for (int x = threadIdx.x; x < width; x += blockDim.x) {
        const float at_x = scale * static_cast<float>(x) - 1.0f;
        float value = row[terms - 1];
        for (int j = terms - 2; j >= 0; --j) value = value * at_x + row[j];
        phase_rad[y * width + x] -= value;
    }
}
