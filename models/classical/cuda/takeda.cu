// Takeda's retrieval between the Fourier transforms: grey values to reals, half spectrum to the pass band, field to the
// wrapped phase. models/classical/takeda.py is the same on the host and says where it comes from.
#include "phase.cuh"

struct Complex {
    float re, im;
};

__device__ __forceinline__ int this_pixel() { return blockIdx.x * blockDim.x + threadIdx.x; }

extern "C" __global__ void grey8_to_real(const unsigned char* grey, float* real, int pixels) {
    const int i = this_pixel();
    if (i < pixels) real[i] = grey[i];
}

extern "C" __global__ void grey16_to_real(const unsigned short* grey, float* real, int pixels) {
    const int i = this_pixel();
    if (i < pixels) real[i] = grey[i];
}

// The spectrum of the object field alone: the pass band of the half spectrum, filtered, zero around it.
//
// Along `axis` the band's lines are moved to begin at zero frequency, where the host's transform puts them, so that the
// same reference phase serves both. `filter` has a weight for each of the band's points: `lines` along `axis`, the
// frame's length along the other.
extern "C" __global__ void pass_band(const Complex* half_spectrum, const float* filter, Complex* spectrum, int height,
                                     int width, int axis, int first_line, int lines) {
    const int i = this_pixel();
    if (i >= height * width) return;
    const int y = i / width, x = i % width;
    Complex value = {0, 0};
    if ((axis == 0 ? y : x) < lines) {
        int source_y = y, source_x = x;
        if (axis == 0) {
            source_y = ((y + first_line) % height + height) % height;
        } else {
            source_x = ((x + first_line) % width + width) % width;
        }
        // Of a real picture the transform gives the frequencies 0 … Nyquist along x; the one at −f is the conjugate of
        // the one at f.
        const int stride = width / 2 + 1;
        const bool mirrored = source_x >= stride;
        if (mirrored) {
            source_x = width - source_x;
            source_y = source_y == 0 ? 0 : height - source_y;
        }
        const Complex source = half_spectrum[source_y * stride + source_x];
        const float weight = filter[axis == 0 ? y * width + x : y * lines + x];
        value = {source.re * weight, (mirrored ? -source.im : source.im) * weight};
    }
    spectrum[i] = value;
}

// wrapped = arg(field) − reference, brought back into [−π, π]; amplitude = |field|, over `pixels` since the transforms
// there and back leave that factor in.
extern "C" __global__ void wrapped_field(const Complex* field, const float* reference_rad, float* wrapped_rad,
                                         float* amplitude, int pixels) {
    const int i = this_pixel();
    if (i >= pixels) return;
    const float difference = atan2f(field[i].im, field[i].re) - reference_rad[i];
    wrapped_rad[i] = difference - two_pi * rintf(difference * per_turn);
    amplitude[i] = sqrtf(field[i].re * field[i].re + field[i].im * field[i].im) / static_cast<float>(pixels);
}
