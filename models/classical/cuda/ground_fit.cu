// The polynomial under an unwrapped phase, from its means over blocks of pixels: `BackgroundFit` of
// models/classical/background.py, which says why, and models/classical/plateaus.py. Three kernels, so that all orders are
// tried at once; each fit is one block's.
#include "least_squares.cuh"

constexpr int most_orders = 7;
constexpr int trial_rounds = 3, most_rounds = 10, step_rounds = 7;
constexpr double converged_rad = 1e-3;
constexpr double ridge_share = 1e-6, rim_ridge_share = 1e-9, last_ridge_share = 1e-9;
constexpr double kept_sigmas = 2.5, least_sigma_rad = 1e-3;
constexpr double twelfth_sigmas = 2 * 0.1046;  // how wide the central twelfth of a Gaussian is
constexpr float outlying = 1.6f, pulling = 4, no_pull = 1;
constexpr double few_share = 0.05, fewer_share = 0.3;
constexpr double worth_an_order = 0.95, worth_a_tilt = 0.7, bent_share = 0.3;
constexpr int blocks_a_term = 4;
constexpr double alike_blocks = 0.3;
constexpr int leverage_points = 8;  // along an edge
constexpr double apart_sigmas = 6, as_flat = 3, least_share = 0.2, least_share_of_both = 0.5, most_between = 0.5;

// The means over a frame's blocks, those that are lit, and Legendre's polynomials at the rows and columns of blocks.
struct Blocks {
    const float* means;
    const unsigned char* lit;
    const float *at_y, *at_x;  // (powers, rows) and (powers, columns)
    int rows, columns, powers;
};

// What the host reads. ground_fit.py has the same.
struct Ground {
    double coefficients[most_powers * most_powers];  // of y^i x^j, (order + 1, order + 1)
    double spread_rad, near_share;
    int order, is_bent;
};

// What one kernel leaves to the next.
struct Trials {
    double starts[most_orders][most_terms];  // of each order, its level at 0
    double values[most_orders][most_terms];
    double likely_error_rad[most_orders];
    int lit, highest, tried;  // lit blocks; the highest order that they support, and that was laid out
};

// The block's share of the working memory; ground_fit.py knows how large it is.
__device__ Samples share_of_memory(float* memory, int floats_each, const Blocks& blocks) {
    float* next = memory + static_cast<long long>(blockIdx.x) * floats_each;
    const int count = blocks.rows * blocks.columns;
    Samples samples = {};
    samples.powers = blocks.powers;
    float** const places[] = {&samples.values, &samples.left, &samples.weights, &samples.is_lit};
    for (float** place : places) {
        *place = next;
        next += count;
    }
    samples.spilled = next;
    next += power_of_two_from(count);
    samples.sums = next;
    next += (most_pairs + most_powers) * blocks.rows;
    for (Part& part : samples.part) {
        part.at_y = next;
        next += most_powers * blocks.rows;
        part.at_x = next;
        next += most_powers * blocks.columns;
    }
    return samples;
}

// Every block, or every other one along both axes.
__device__ __noinline__ void take_blocks(Samples& samples, const Blocks& blocks, int every) {
    Part& part = samples.part[0];
    samples.parts = 1;
    part.rows = (blocks.rows + every - 1) / every;
    part.columns = (blocks.columns + every - 1) / every;
    part.first = 0;
    samples.count = part.rows * part.columns;
    over(samples.count, [&](int k) {
        const int place = k / part.columns * every * blocks.columns + k % part.columns * every;
        samples.values[k] = blocks.means[place];
        samples.is_lit[k] = blocks.lit[place] ? 1.0f : 0.0f;
    });
    over(blocks.powers * part.rows, [&](int k) {
        part.at_y[k] = blocks.at_y[k / part.rows * blocks.rows + k % part.rows * every];
    });
    over(blocks.powers * part.columns, [&](int k) {
        part.at_x[k] = blocks.at_x[k / part.columns * blocks.columns + k % part.columns * every];
    });
    __syncthreads();
}

// The steps from the blocks of even rows and columns to the next along y, and to the next along x.
__device__ void take_steps(Samples& samples, const Blocks& blocks) {
    const int rows = blocks.rows / 2, columns = blocks.columns / 2, count = rows * columns;
    samples.parts = 2;
    samples.count = 2 * count;
    for (int number = 0; number < 2; ++number) {
        const bool along_y = number == 0;
        Part& part = samples.part[number];
        part.rows = rows;
        part.columns = columns;
        part.first = number * count;
        over(count, [&](int k) {
            const int here = 2 * (k / columns) * blocks.columns + 2 * (k % columns);
            const int next = here + (along_y ? blocks.columns : 1);
            samples.values[part.first + k] = blocks.means[next] - blocks.means[here];
            samples.is_lit[part.first + k] = blocks.lit[here] && blocks.lit[next] ? 1.0f : 0.0f;
        });
        over(blocks.powers * rows, [&](int k) {
            const float* const at = blocks.at_y + k / rows * blocks.rows + 2 * (k % rows);
            part.at_y[k] = along_y ? at[1] - at[0] : at[0];
        });
        over(blocks.powers * columns, [&](int k) {
            const float* const at = blocks.at_x + k / columns * blocks.columns + 2 * (k % columns);
            part.at_x[k] = along_y ? at[0] : at[1] - at[0];
        });
    }
    __syncthreads();
}

// Cauchy weights by the median size.
__device__ void weigh_rims(Fit& fit, const Samples& samples, int lit) {
    const double size = max(1.4826 * static_cast<double>(ordered_in(fit, samples)[lit / 2]), 1e-4);
    const float per_square = static_cast<float>(1 / (size * size));
    over(samples.count, [&](int k) {
        samples.weights[k] = samples.is_lit[k] / (1 + samples.left[k] * samples.left[k] * per_square);
    });
}

// 1 on the ground, which is near the most frequent level, and 0 on objects; what pulls in between.
__device__ __noinline__ void weigh_ground(Fit& fit, const Samples& samples, int lit, float reach) {
    const float* const ordered = ordered_in(fit, samples);
    const int held = max(lit / 12, min(lit, 8));
    const Interval part = narrowest(ordered, lit, held);
    const float middle = middle_of(ordered, part, held);
    const double sigma = max(static_cast<double>(part.width) / twelfth_sigmas, least_sigma_rad);
    const float per_range = static_cast<float>(1 / (kept_sigmas * sigma));
    int above = 0, below = 0;
    over(samples.count, [&](int k) {
        const float off = (samples.left[k] - middle) * per_range;
        samples.weights[k] = fabsf(off) < 1 ? samples.is_lit[k] : 0;
        above += samples.is_lit[k] != 0 && off > outlying;
        below += samples.is_lit[k] != 0 && off < -outlying;
    });
    above = join_all(above, Add());
    below = join_all(below, Add());
    float side = 0;
    if (below < min(few_share * lit, fewer_share * above)) {
        side = -1;
    } else if (above < min(few_share * lit, fewer_share * below)) {
        side = 1;
    }
    if (side == 0 || reach <= 1) return;
    over(samples.count, [&](int k) {
        const float off = side * (samples.left[k] - middle) * per_range;
        if (off >= 1 && off < reach) samples.weights[k] = samples.is_lit[k] / off;
    });
}

// `fit_in_rounds`: fit.values from the values there on. Afterwards the samples are in order, and fit.matrix has the last
// round's factor; of steps, its right side is that of the values themselves. How many samples are lit.
__device__ __noinline__ int fit_in_rounds(Fit& fit, const Samples& samples, int terms, int most_rounds, Kind kind, float reach) {
    __shared__ int unsettled;
    const bool steps = kind == Kind::steps;
    bool is_settled = false;
    for (int round = 0;; ++round) {
        take_off(fit, samples, terms, kind);
        const int lit = sort_lit(fit, samples, steps);
        const bool is_last = is_settled || lit == 0 || round == most_rounds;
        if (!steps) {
            weigh_ground(fit, samples, lit, is_last ? no_pull : reach);
        } else if (round > 0) {
            weigh_rims(fit, samples, lit);
        } else {
            over(samples.count, [&](int k) { samples.weights[k] = samples.is_lit[k]; });
        }
        __syncthreads();
        normal_equations(fit, samples, terms, kind);
        const double ridge = steps ? rim_ridge_share * (lit + 1)
                                   : (is_last ? last_ridge_share : ridge_share) * (fit.matrix[0][0] + 1);
        __syncthreads();
        if (is_last && steps) {
            over(terms, [&](int one) {
                double right = fit.matrix[terms][one];
                for (int other = 0; other < terms; ++other)
                    right += fit.matrix[max(one, other)][min(one, other)] * fit.values[other];
                fit.matrix[terms][one] = right;
            });
            __syncthreads();
        }
        factorise(fit, terms, ridge);
        if (is_last) return lit;
        solve(fit, terms, terms);
        if (threadIdx.x == 0) unsettled = 0;
        __syncthreads();
        over(terms, [&](int term) {
            fit.values[term] += fit.step[term];
            if (!(fabs(fit.step[term]) < converged_rad)) atomicAdd(&unsettled, 1);
        });
        __syncthreads();
        is_settled = unsettled == 0;
        __syncthreads();
    }
}

// The width of the narrowest interval that holds a quarter of the sorted samples.
__device__ double flattest_range(Fit& fit, const Samples& samples, int lit) {
    return narrowest(ordered_in(fit, samples), lit, max(lit / 4, min(lit, 8))).width;
}

// By how much the variance of the fit exceeds, at worst, that of one sample, at a few points all over the frame.
__device__ double largest_leverage(const Fit& fit, const Samples& samples, int terms) {
    const Part& part = samples.part[0];
    double largest = 0;
    over(leverage_points * leverage_points, [&](int point) {
        const int row = point / leverage_points * (part.rows - 1) / (leverage_points - 1);
        const int column = point % leverage_points * (part.columns - 1) / (leverage_points - 1);
        if (samples.is_lit[row * part.columns + column] == 0) return;
        double solved[most_terms], here = 0;
        for (int term = 0; term < terms; ++term) {
            const Exponents at = exponents_of(term);
            double left = part.at_y[at.i * part.rows + row] * part.at_x[at.j * part.columns + column];
            for (int k = 0; k < term; ++k) left -= fit.matrix[term][k] * solved[k];
            solved[term] = left / fit.matrix[term][term];
            here += solved[term] * solved[term];
        }
        largest = max(largest, here);
    });
    return join_all(largest, Larger());
}

// The level that most of the sorted samples are near, and the σ with which those scatter.
struct Level {
    float middle;
    double sigma;
};

__device__ Level commonest(const float* ordered, int count, int part) {
    const Interval found = narrowest(ordered, count, part);
    return {middle_of(ordered, found, part), max(static_cast<double>(found.width) / twelfth_sigmas, least_sigma_rad)};
}

template <class Condition>
__device__ int count_lit(const Samples& samples, Condition holds) {
    int count = 0;
    over(samples.count, [&](int k) { count += samples.is_lit[k] != 0 && holds(samples.left[k]); });
    return join_all(count, Add());
}

// `on_one_level`: move what lies on a second level to the first, in `level_means`. samples.left has the means without
// the aberration that their slopes tell.
__device__ __noinline__ void put_on_one_level(Fit& fit, const Samples& samples, float* level_means) {
    const float* const ordered = ordered_in(fit, samples);
    const int lit = sort_lit(fit, samples, false), part = lit / 12;
    if (part < 12) return;
    const Level first = commonest(ordered, lit, part);
    __syncthreads();
    const auto lies_beyond = [&](float left) { return fabsf(left - first.middle) > 2 * kept_sigmas * first.sigma; };
    const int beyond = count_lit(samples, lies_beyond);
    if (beyond < least_share * lit) return;
    float* const keys = ordered_in(fit, samples);
    const int padded = power_of_two_from(samples.count);
    over(padded, [&](int k) {
        keys[k] = k < samples.count && samples.is_lit[k] != 0 && lies_beyond(samples.left[k]) ? samples.left[k] :
            beyond_all;
    });
    __syncthreads();
    sort_rising(keys, padded);
    const Level second = commonest(ordered, beyond, part);
    const double sigma = max(first.sigma, second.sigma), width = kept_sigmas * sigma;
    if (second.sigma > as_flat * first.sigma || fabs(second.middle - first.middle) < apart_sigmas * sigma) return;
    const auto is_second = [&](float left) { return fabsf(left - second.middle) < width; };
    const double share = count_lit(samples, is_second) / static_cast<double>(lit);
    const double of_first =
        count_lit(samples, [&](float left) { return fabsf(left - first.middle) < kept_sigmas * first.sigma; }) /
        static_cast<double>(lit);
    if (share < least_share || share + of_first < least_share_of_both) return;
    const double low = min(first.middle, second.middle) + width, high = max(first.middle, second.middle) - width;
    const double between =
        count_lit(samples, [&](float left) { return left > low && left < high; }) / static_cast<double>(lit);
    if (between > most_between * min(share, of_first)) return;
    over(samples.count, [&](int k) {
        if (samples.is_lit[k] != 0 && is_second(samples.left[k])) level_means[k] -= second.middle - first.middle;
    });
}

// One block: what the slopes of the means tell of each order, and the means on one level.
extern "C" __global__ void lay_ground(const float* means, const unsigned char* lit, const float* at_y, const float* at_x,
                                      int rows, int columns, int powers, int order, float* memory, int floats_each,
                                      float* level_means, Trials* trials) {
    __shared__ Fit fit;
    const Blocks blocks = {means, lit, at_y, at_x, rows, columns, powers};
    Samples samples = share_of_memory(memory, floats_each, blocks);
    take_blocks(samples, blocks, 2);
    const int of_quarter = count_lit(samples, [](float) { return true; });
    take_blocks(samples, blocks, 1);
    const int all_lit = count_lit(samples, [](float) { return true; });
    over(samples.count, [&](int k) { level_means[k] = means[k]; });
    int highest = order;
    while (highest > 0 && count_terms(highest) * blocks_a_term > of_quarter) --highest;
    const int tried = highest == 0 ? 0 : order == 1 ? 2 : highest;
    if (threadIdx.x == 0) {
        trials->lit = all_lit;
        trials->highest = highest;
        trials->tried = tried;
    }
    over(most_orders * most_terms, [&](int k) { trials->starts[k / most_terms][k % most_terms] = 0; });
    if (highest == 0) return;
    take_steps(samples, blocks);
    const int terms = count_terms(tried) - 1;
    over(terms, [&](int term) { fit.values[term] = 0; });
    __syncthreads();
    fit_in_rounds(fit, samples, terms, step_rounds, Kind::steps, 0);
    for (int of_order = 1; of_order <= tried; ++of_order) {
        const int own = count_terms(of_order) - 1;
        solve(fit, terms, own);
        over(own, [&](int term) { trials->starts[of_order][term + 1] = fit.step[term]; });
        __syncthreads();
    }
    for (int term = threadIdx.x; term <= terms; term += block_threads) fit.values[term] = trials->starts[tried][term];
    take_blocks(samples, blocks, 1);
    take_off(fit, samples, terms + 1, Kind::phase);
    put_on_one_level(fit, samples, level_means);
}

// A block for each order: fit it to every other mean along both axes, and say how far off it is likely to be.
extern "C" __global__ void try_orders(const float* level_means, const unsigned char* lit, const float* at_y,
                                      const float* at_x, int rows, int columns, int powers, int order, float* memory,
                                      int floats_each, Trials* trials) {
    __shared__ Fit fit;
    const int mine = blockIdx.x;
    if (trials->highest == 0 || mine > trials->tried || (mine == 0 && order != 1)) return;
    const Blocks blocks = {level_means, lit, at_y, at_x, rows, columns, powers};
    Samples samples = share_of_memory(memory, floats_each, blocks);
    take_blocks(samples, blocks, 2);
    const int terms = count_terms(mine);
    over(terms, [&](int term) { fit.values[term] = trials->starts[mine][term]; });
    __syncthreads();
    const int seen = fit_in_rounds(fit, samples, terms, trial_rounds, Kind::phase, no_pull);
    const double flattest = flattest_range(fit, samples, seen);
    const double leverage = largest_leverage(fit, samples, terms);
    over(terms, [&](int term) { trials->values[mine][term] = fit.values[term]; });
    if (threadIdx.x == 0) trials->likely_error_rad[mine] = flattest * sqrt(1 + alike_blocks * leverage);
}

// One block: take the order that the ground asks for and supports, fit it to all means, give it as powers of y and x, and
// say how much of the frame lies near it. `legendre` has, a row each, the coefficients of P_0 … P_order.
extern "C" __global__ void fit_ground(const float* means, const float* level_means, const unsigned char* lit, const float* at_y,
                                      const float* at_x, int rows, int columns, int powers, int order,
                                      const double* legendre, float near_rad, float* memory, int floats_each,
                                      const Trials* trials, Ground* ground) {
    __shared__ Fit fit;
    const Blocks blocks = {level_means, lit, at_y, at_x, rows, columns, powers};
    const double worth = order == 1 ? worth_a_tilt : worth_an_order;
    int best = 0;
    bool is_bent = false;
    double least = beyond_all;
    for (int tried = order == 1 ? 0 : 1; trials->highest > 0 && tried <= trials->tried; ++tried) {
        const double likely_error_rad = trials->likely_error_rad[tried];
        if (tried > trials->highest) {
            is_bent = likely_error_rad < bent_share * least;
            break;
        }
        if (likely_error_rad < worth * least) {
            best = tried;
            least = likely_error_rad;
        }
    }
    const int terms = count_terms(best);
    const bool is_found = trials->highest > 0 && least < beyond_all;
    over(most_terms, [&](int term) { fit.values[term] = is_found && term < terms ? trials->values[best][term] : 0; });
    __syncthreads();
    double spread_rad = 0, near_share = 1;
    if (trials->lit > 0) {
        Samples samples = share_of_memory(memory, floats_each, blocks);
        take_blocks(samples, blocks, 1);
        const int seen = fit_in_rounds(fit, samples, terms, most_rounds, Kind::phase, pulling);
        spread_rad = flattest_range(fit, samples, seen);
        int near = 0;
        over(samples.count, [&](int k) {
            near += samples.is_lit[k] != 0 && fabsf(samples.left[k] + (means[k] - level_means[k])) < near_rad;
        });
        near_share = join_all(near, Add()) / static_cast<double>(seen);
    }
    const int side = order + 1;
    over(side * side, [&](int place) {
        double coefficient = 0;
        for (int term = 0; term < terms; ++term) {
            const Exponents at = exponents_of(term);
            coefficient += legendre[at.i * side + place / side] * fit.values[term] * legendre[at.j * side + place % side];
        }
        ground->coefficients[place] = coefficient;
    });
    if (threadIdx.x == 0) {
        ground->spread_rad = spread_rad;
        ground->near_share = near_share;
        ground->order = best;
        ground->is_bent = is_bent;
    }
}
