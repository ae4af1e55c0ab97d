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

// Where a picture's spectrum is read from: the half of it that the transform of reals gives.
struct HalfSpectrum {
    const Complex* values;
    int height, width, axis, first_line;

    // At (y, x), the lines along `axis` counted from the pass band's first one.
    __device__ __forceinline__ Complex at(int y, int x) const {
        if (axis == 0) {
            y = ((y + first_line) % height + height) % height;
        } else {
            x = ((x + first_line) % width + width) % width;
        }
        // Of a real picture the transform gives the frequencies 0 … Nyquist along x; the one at −f is the conjugate of
        // the one at f.
        const int stride = width / 2 + 1;
        const bool mirrored = x >= stride;
        if (mirrored) {
            x = width - x;
            y = y == 0 ? 0 : height - y;
        }
        const Complex value = values[y * stride + x];
        return {value.re, mirrored ? -value.im : value.im};
    }
};

__device__ __forceinline__ float power_of(Complex value) { return value.re * value.re + value.im * value.im; }

// The power at `places` of the band's array, beside the pass band; and `strongest`, for which band_peak looks, at none.
extern "C" __global__ void power_beside(const Complex* half_spectrum, const int* places, float* power, int number,
                                        int height, int width, int axis, int first_line, int lines,
                                        unsigned long long* strongest) {
    const int i = this_pixel();
    if (i == 0) *strongest = 0;
    if (i >= number) return;
    const int columns = axis == 0 ? width : lines;
    const HalfSpectrum spectrum = {half_spectrum, height, width, axis, first_line};
    power[i] = power_of(spectrum.at(places[i] / columns, places[i] % columns));
}

// The strongest point of the pass band: its power's bits, which are ordered like the power, over its place.
extern "C" __global__ void band_peak(const Complex* spectrum, unsigned long long* strongest, int height, int width,
                                     int axis, int lines) {
    const int i = this_pixel();
    if (i >= height * width) return;
    const int y = i / width, x = i % width;
    if ((axis == 0 ? y : x) >= lines) return;
    const unsigned place = axis == 0 ? i : y * lines + x;
    const unsigned long long found =
        static_cast<unsigned long long>(__float_as_uint(power_of(spectrum[i]))) << 32 | place;
    // Few points are stronger than all that were met before; the others stay out of each other's way.
    if (found > *strongest) atomicMax(strongest, found);
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
        const HalfSpectrum half = {half_spectrum, height, width, axis, first_line};
        const Complex source = half.at(y, x);
        const float weight = filter[axis == 0 ? y * width + x : y * lines + x];
        value = {source.re * weight, source.im * weight};
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
