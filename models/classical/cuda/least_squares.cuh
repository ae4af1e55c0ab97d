// Polynomials over a grid of samples and least squares with weights, by one block. models/classical/polynomial.py and
// models/classical/robust_fit.py are the same on the host and say why.
//
// The terms are Legendre's P_i(y) P_j(x), i + j ≤ order, those of lower orders first. The samples of a part lie on a
// grid, so that all sums are made along its rows first, and those are few.
#pragma once
#include "block.cuh"

constexpr int most_powers = 7;  // of an order up to 6
constexpr int most_terms = 28;
constexpr int most_pairs = most_powers * (most_powers + 1) / 2;
constexpr int most_parts = 2;
constexpr int sorted_here = 4096;  // samples whose sorting has room in the block's own memory

struct Exponents {
    int i, j;
};

__device__ __forceinline__ Exponents exponents_of(int term) {
    int total = 0;
    while ((total + 1) * (total + 2) / 2 <= term) ++total;
    const int i = term - total * (total + 1) / 2;
    return {i, total - i};
}

__device__ __forceinline__ int count_terms(int order) { return (order + 1) * (order + 2) / 2; }

// Samples on a grid, and the values of the terms' factors at its rows and columns.
struct Part {
    int rows, columns, first;
    float *at_y, *at_x;  // (powers, rows) and (powers, columns)
};

// What one block fits to, in device memory that is its own.
struct Samples {
    Part part[most_parts];
    int parts, count, powers;
    float *values, *left, *weights, *is_lit, *spilled, *sums;
};

// What the threads of a block share of a fit.
struct Fit {
    double matrix[most_terms + 1][most_terms + 1];  // the lower triangle; the row behind the last term is the right side
    double values[most_terms];
    double step[most_terms];
    float ordered[sorted_here];
};

// Whether the fit is one of steps between neighbours, which have no level.
enum class Kind { phase, steps };

__device__ __forceinline__ int first_term(Kind kind) { return kind == Kind::steps ? 1 : 0; }

__device__ __forceinline__ float* ordered_in(Fit& fit, const Samples& samples) {
    return samples.count <= sorted_here ? fit.ordered : samples.spilled;
}

// The lit samples of `left` in rising order, or their sizes; how many those are.
__device__ __noinline__ int sort_lit(Fit& fit, const Samples& samples, bool sizes) {
    float* const keys = ordered_in(fit, samples);
    const int padded = power_of_two_from(samples.count);
    int lit = 0;
    over(padded, [&](int k) {
        const bool is_lit = k < samples.count && samples.is_lit[k] != 0;
        keys[k] = !is_lit ? beyond_all : sizes ? fabsf(samples.left[k]) : samples.left[k];
        lit += is_lit;
    });
    lit = join_all(lit, Add());
    sort_rising(keys, padded);
    return lit;
}

// left = values − Σ value · term.
__device__ __noinline__ void take_off(Fit& fit, const Samples& samples, int terms, Kind kind) {
    const int first = first_term(kind);
    __syncthreads();
    for (int number = 0; number < samples.parts; ++number) {
        const Part& part = samples.part[number];
        over(part.rows * samples.powers, [&](int place) {
            const int row = place / samples.powers, j = place % samples.powers;
            float of_row = 0;  // what stands before P_j(x)
            for (int i = 0; i + j < samples.powers; ++i) {
                const int term = (i + j) * (i + j + 1) / 2 + i - first;
                if (term >= 0 && term < terms)
                    of_row += static_cast<float>(fit.values[term]) * part.at_y[i * part.rows + row];
            }
            samples.sums[place] = of_row;
        });
        __syncthreads();
        for (int place = threadIdx.x; place < part.rows * part.columns; place += block_threads) {
            const int row = place / part.columns, column = place % part.columns;
            float value = samples.values[part.first + place];
            for (int j = 0; j < samples.powers; ++j)
                value -= samples.sums[row * samples.powers + j] * part.at_x[j * part.columns + column];
            samples.left[part.first + place] = value;
        }
        __syncthreads();
    }
}

// The normal equations for what is left, into fit.matrix.
__device__ __noinline__ void normal_equations(Fit& fit, const Samples& samples, int terms, Kind kind) {
    const int first = first_term(kind), powers = samples.powers, pairs = powers * (powers + 1) / 2;
    const int each = pairs + powers;
    over((terms + 1) * (terms + 1), [&](int place) { fit.matrix[place / (terms + 1)][place % (terms + 1)] = 0; });
    for (int number = 0; number < samples.parts; ++number) {
        const Part& part = samples.part[number];
        __syncthreads();
        over(part.rows * each, [&](int place) {
            const int row = place / each, sum = place % each;
            const float* const weights = samples.weights + part.first + row * part.columns;
            const float* const left = samples.left + part.first + row * part.columns;
            float total = 0;
            if (sum < pairs) {
                const Exponents pair = exponents_of(sum);  // of a pair numbered j (j + 1) / 2 + i, i ≤ j
                const float* const one = part.at_x + pair.i * part.columns;
                const float* const other = part.at_x + (pair.i + pair.j) * part.columns;
                for (int x = 0; x < part.columns; ++x) total += weights[x] * one[x] * other[x];
            } else {
                const float* const at_x = part.at_x + (sum - pairs) * part.columns;
                for (int x = 0; x < part.columns; ++x) total += weights[x] * left[x] * at_x[x];
            }
            samples.sums[place] = total;
        });
        __syncthreads();
        over((terms + 1) * terms, [&](int place) {
            const int one = place / terms, other = place % terms;
            if (other > one) return;
            const Exponents second = exponents_of(other + first);
            double total = 0;
            if (one == terms) {
                for (int y = 0; y < part.rows; ++y)
                    total += part.at_y[second.i * part.rows + y] * samples.sums[y * each + pairs + second.j];
            } else {
                const Exponents here = exponents_of(one + first);
                const int high = max(here.j, second.j), sum = high * (high + 1) / 2 + min(here.j, second.j);
                for (int y = 0; y < part.rows; ++y)
                    total += part.at_y[here.i * part.rows + y] * part.at_y[second.i * part.rows + y] *
                             samples.sums[y * each + sum];
            }
            fit.matrix[one][other] += total;
        });
    }
    __syncthreads();
}

// Cholesky's factor of the matrix with `ridge` on the diagonal, in its place. The right side becomes what forward
// substitution makes of it. The factor of fewer terms is the upper left part of it.
__device__ __noinline__ void factorise(Fit& fit, int terms, double ridge) {
    auto& matrix = fit.matrix;
    for (int k = 0; k < terms; ++k) {
        if (threadIdx.x == 0) matrix[k][k] = sqrt(max(matrix[k][k] + ridge, ridge));
        __syncthreads();
        for (int row = k + 1 + threadIdx.x; row <= terms; row += block_threads) matrix[row][k] /= matrix[k][k];
        __syncthreads();
        const int behind = terms - k;
        over(behind * behind, [&](int place) {
            const int row = k + 1 + place / behind, column = k + 1 + place % behind;
            if (column <= row && column < terms) matrix[row][column] -= matrix[row][k] * matrix[column][k];
        });
        __syncthreads();
    }
}

// fit.step = the solution for the first `own` of the terms that were factorised.
__device__ __noinline__ void solve(Fit& fit, int terms, int own) {
    over(own, [&](int term) { fit.step[term] = fit.matrix[terms][term]; });
    __syncthreads();
    for (int row = own - 1; row >= 0; --row) {
        if (threadIdx.x == 0) fit.step[row] /= fit.matrix[row][row];
        __syncthreads();
        over(row, [&](int term) { fit.step[term] -= fit.matrix[row][term] * fit.step[row]; });
        __syncthreads();
    }
}
