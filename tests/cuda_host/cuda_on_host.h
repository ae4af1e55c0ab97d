// Enough of CUDA C++ to run a kernel's own source on the host: a grid is a loop over blocks, a block one fiber.
//
// A block's threads run one after the other on the same fiber until one waits at __syncthreads; the next fiber takes
// over there with the threads that have not begun. So kernels without barriers are plain loops, and those with
// barriers have a stack for each thread. Fibers begin by ucontext and switch by the compiler's setjmp, which unlike
// swapcontext makes no system call. Blocks may be shared among several threads of the host, whose atomics are then real ones.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <type_traits>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __shared__ static thread_local

using std::abs;
using std::max;
using std::min;

struct dim3 {
    unsigned x, y, z;
};

static thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host {

constexpr size_t stack_bytes = 33 * 1024 + 192;  // no power of two, or the stacks' tops would share a few cache lines

// In which order blocks and threads run. A kernel whose result depends on it has a race.
enum Order { forward, backward, scattered };

inline unsigned nth(unsigned number, unsigned count, int order) {
    if (order == backward) return count - 1 - number;
    if (order == forward || count < 3) return number;
    unsigned long long stride = count % 7919 ? 7919 : 7907;  // a prime that does not divide the count
    return static_cast<unsigned>(number * stride % count);
}

inline dim3 place(unsigned number, dim3 size) {
    return {number % size.x, number / size.x % size.y, number / (size.x * size.y)};
}

// In a function of its own: the compiler's longjmp must not stand where its setjmp does.
[[noreturn]] inline __attribute__((noinline)) void jump(void** there) { __builtin_longjmp(there, 1); }

struct Fiber {
    ucontext_t beginning;
    void* here[5];
    std::unique_ptr<char[]> stack;
    dim3 thread;
    bool begun = false;
};

class BlockRunner {
public:
    template <class Body>
    void run(unsigned threads, int order, Body& body) {
        call_ = [](void* given) { (*static_cast<Body*>(given))(); };
        body_ = &body;
        threads_ = threads;
        order_ = order;
        next_ = 0;
        while (next_ < threads_) enter(idle_fiber());
        while (!waiting_.empty()) {  // the barrier opens: everyone is there or has ended
            released_.swap(waiting_);
            for (Fiber* fiber : released_) enter(fiber);
            released_.clear();
        }
    }

    void wait() {
        waiting_.push_back(current_);
        leave();
    }

private:
    Fiber* idle_fiber() {
        if (idle_.empty()) {
            fibers_.push_back(std::make_unique<Fiber>());
            Fiber* fiber = fibers_.back().get();
            fiber->stack.reset(new char[stack_bytes]);
            getcontext(&fiber->beginning);
            fiber->beginning.uc_stack.ss_sp = fiber->stack.get();
            fiber->beginning.uc_stack.ss_size = stack_bytes;
            fiber->beginning.uc_link = nullptr;
            makecontext(&fiber->beginning, begin, 0);
            return fiber;
        }
        Fiber* fiber = idle_.back();
        idle_.pop_back();
        return fiber;
    }

    static void begin();

    [[noreturn]] void work() {
        for (;;) {
            while (next_ < threads_) {
                current_->thread = threadIdx = place(nth(next_++, threads_, order_), blockDim);
                call_(body_);
            }
            idle_.push_back(current_);
            leave();
        }
    }

    __attribute__((noinline)) void enter(Fiber* fiber) {
        current_ = fiber;
        threadIdx = fiber->thread;
        if (__builtin_setjmp(home_) == 0) {
            if (fiber->begun) jump(fiber->here);
            fiber->begun = true;
            setcontext(&fiber->beginning);
        }
    }

    __attribute__((noinline)) void leave() {
        if (__builtin_setjmp(current_->here) == 0) jump(home_);
    }

    void (*call_)(void*) = nullptr;
    void* body_ = nullptr;
    unsigned threads_ = 0, next_ = 0;
    int order_ = forward;
    Fiber* current_ = nullptr;
    void* home_[5];
    std::vector<std::unique_ptr<Fiber>> fibers_;
    std::vector<Fiber*> idle_, waiting_, released_;
};

static thread_local BlockRunner runner;

inline void BlockRunner::begin() { runner.work(); }

template <class Body>
void run_grid(dim3 grid, dim3 block, int order, int host_threads, Body& body) {
    const unsigned blocks = grid.x * grid.y * grid.z;
    std::atomic<unsigned> next{0};
    auto take_blocks = [&] {
        gridDim = grid;
        blockDim = block;
        for (unsigned number; (number = next++) < blocks;) {
            blockIdx = place(nth(number, blocks, order), grid);
            runner.run(block.x * block.y * block.z, order, body);
        }
    };
    std::vector<std::thread> others;
    for (int i = 1; i < host_threads; ++i) others.emplace_back(take_blocks);
    take_blocks();
    for (auto& other : others) other.join();
}

template <class... Arguments, size_t... Indices>
void launch_with(void (*kernel)(Arguments...), const unsigned* dims, int order, int host_threads, void** arguments,
                 std::index_sequence<Indices...>) {
    auto body = [&] { kernel(*static_cast<std::remove_const_t<Arguments>*>(arguments[Indices])...); };
    run_grid({dims[0], dims[1], dims[2]}, {dims[3], dims[4], dims[5]}, order, host_threads, body);
}

// `dims` is the grid's (x, y, z), then the block's; `arguments` point to the values, as for cuLaunchKernel.
template <class... Arguments>
void launch(void (*kernel)(Arguments...), const unsigned* dims, int order, int host_threads, void** arguments) {
    launch_with(kernel, dims, order, host_threads, arguments, std::index_sequence_for<Arguments...>{});
}

// Each argument's size, and whether it is a pointer, a float or an integer; a 0 behind them.
template <class... Arguments>
std::array<unsigned, sizeof...(Arguments) + 1> kinds(void (*)(Arguments...)) {
    return {(sizeof(Arguments) |
             (std::is_pointer_v<Arguments> ? 'p' : std::is_floating_point_v<Arguments> ? 'f' : 'i') << 8)...,
            0};
}

}  // namespace host

inline void __syncthreads() { host::runner.wait(); }

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline void __threadfence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

template <class T>
T atomicAdd(T* address, T value) {
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

template <class T>
T atomicCAS(T* address, T expected, T desired) {
    __atomic_compare_exchange_n(address, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

template <class T>
T atomicExch(T* address, T value) {
    return __atomic_exchange_n(address, value, __ATOMIC_RELAXED);
}

template <class T>
T atomicMax(T* address, T value) {
    T old = __atomic_load_n(address, __ATOMIC_RELAXED);
    while (old < value && !__atomic_compare_exchange_n(address, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
