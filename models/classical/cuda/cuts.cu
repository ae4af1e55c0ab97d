// Residues, what it costs to block each link, and the blocking: all of models/classical/unwrapping/branch_cuts.py, which
// says why, but the search for the cuts of least cost. Most frames have no residue and need no cuts.
#include "phase.cuh"

constexpr float per_half_turn = 0.3183098861837907f;
constexpr int lowest_price = 2;
constexpr float price_span = 63;

// Turns gained clockwise around the corner between the pixels (y, x) and (y + 1, x + 1): −1, 0 or 1.
__device__ __forceinline__ int charge_at(const float* wrapped_rad, int pixel, int width) {
    const float here = wrapped_rad[pixel], right = wrapped_rad[pixel + 1];
    const float below = wrapped_rad[pixel + width], across = wrapped_rad[pixel + width + 1];
    return turns_between(here, right) + turns_between(right, across) - turns_between(below, across) -
           turns_between(here, below);
}

// One block a row of corners. A residue is twice the number of its first pixel, and 1 more where its charge is positive;
// they come in no particular order.
extern "C" __global__ void list_residues(const float* wrapped_rad, Counts* counts, unsigned* residues, int width) {
    const int row = blockIdx.x * width;
    for (int x = threadIdx.x; x < width - 1; x += row_threads) {
        const int charge = charge_at(wrapped_rad, row + x, width);
        if (charge == 0) continue;
        residues[atomicAdd(&counts->residues, 1)] = 2u * static_cast<unsigned>(row + x) + (charge > 0 ? 1 : 0);
    }
}

// One block a row of the sample: every so many pixels along both axes.
extern "C" __global__ void sample_amplitude(const float* amplitude, float* sample, int every, int across, int width) {
    for (int x = threadIdx.x; x < across; x += row_threads)
        sample[blockIdx.x * across + x] = amplitude[blockIdx.x * every * width + x * every];
}

// The same whole numbers as the host's, so that the same cuts follow.
__device__ unsigned char price_of(float phase_rad, float next_phase_rad, float amplitude, float next_amplitude,
                                  float scale) {
    float step = next_phase_rad - phase_rad;
    step = fabsf(step - two_pi * rintf(step * per_turn));
    const float weight = min(min(amplitude, next_amplitude) * scale, 1.0f) * max(1.0f - step * per_half_turn, 0.0f);
    return lowest_price + 2 * static_cast<int>(price_span * weight * weight + 0.5f);
}

// One block a row of corners, height + 1 of them: `_price_links`, to the right and, (height + 1) · (width + 1) further on,
// to the corner below.
extern "C" __global__ void price_links(const float* wrapped_rad, const float* amplitude, const Counts* counts,
                                       const unsigned char* mask, float scale, unsigned char* price, int height,
                                       int width) {
    const int y = blockIdx.x;
    const bool has_mask = counts->has_mask != 0;
    unsigned char* const to_right = price + static_cast<long long>(y) * (width + 1);
    unsigned char* const to_below = to_right + static_cast<long long>(height + 1) * (width + 1);
    const auto price_between = [&](int one, int other) -> unsigned char {
        if (has_mask && (mask[one] || mask[other])) return lowest_price;
        return price_of(wrapped_rad[one], wrapped_rad[other], amplitude[one], amplitude[other], scale);
    };
    for (int x = threadIdx.x; x <= width; x += row_threads) {
        const int pixel = y * width + x;
        to_right[x] = y > 0 && y < height && x < width ? price_between(pixel - width, pixel) : 0;
        to_below[x] = y < height && x > 0 && x < width ? price_between(pixel - 1, pixel) : 0;
    }
}

// As many threads as there are; a link is twice the number of its first pixel, and 1 more where it leads down. The bright
// ones are counted.
extern "C" __global__ void block_links(const unsigned* links, int number, const float* amplitude,
                                       const unsigned char* mask, float bright_from, unsigned char* right,
                                       unsigned char* down, Counts* counts, int width) {
    const bool has_mask = counts->has_mask != 0;
    for (int k = blockIdx.x * blockDim.x + threadIdx.x; k < number; k += gridDim.x * blockDim.x) {
        const bool leads_down = links[k] & 1;
        const int pixel = static_cast<int>(links[k] >> 1), next = pixel + (leads_down ? width : 1);
        (leads_down ? down : right)[pixel] = 1;
        const bool is_bright = min(amplitude[pixel], amplitude[next]) > bright_from;
        if (is_bright && !(has_mask && (mask[pixel] || mask[next]))) atomicAdd(&counts->bright_links, 1);
    }
}

// A thread for each pixel: block the links between the mask and the rest.
extern "C" __global__ void block_mask(const unsigned char* mask, unsigned char* right, unsigned char* down, int height,
                                      int width) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
    if (x >= width) return;
    const int pixel = y * width + x;
    if (x + 1 < width && !mask[pixel] != !mask[pixel + 1]) right[pixel] = 1;
    if (y + 1 < height && !mask[pixel] != !mask[pixel + width]) down[pixel] = 1;
}
