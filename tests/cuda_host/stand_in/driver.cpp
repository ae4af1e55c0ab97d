// A stand-in for NVIDIA's driver library and cuFFT, so that their real bindings can be called where there is no GPU.
//
// Memory is the host's. Each stream is a thread that does its work in order, so what nobody waited for may not be done.
// Modules are the host's kernels (kernels.py): an image is the path of their library. As the real driver does, calls
// without a current context are refused, and after a kernel that faults every call fails until the device is reset.
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <complex>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Work = std::function<void()>;
enum { success = 0, invalid_value = 1, out_of_memory = 2, no_device = 100, invalid_context = 201, illegal_address = 700,
       not_ready = 600, capture_unsupported = 900, not_found = 500 };
constexpr size_t device_bytes = size_t(4) << 30;
constexpr int rubbish = 0xCB;
constexpr size_t guard_bytes = 256;

struct Event {
    std::mutex lock;
    std::condition_variable passed;
    long recorded = 0, done = 0;
    Clock::time_point at;

    bool is_done() {
        std::lock_guard guard(lock);
        return done >= recorded;
    }
    void pass(long number) {
        std::lock_guard guard(lock);
        at = Clock::now();
        done = std::max(done, number);
        passed.notify_all();
    }
    void wait(long number) {
        std::unique_lock guard(lock);
        passed.wait(guard, [&] { return done >= number; });
    }
};

struct Graph {
    std::vector<Work> steps;
};

class Stream {
public:
    Stream() : worker_([this] { work(); }) {}
    ~Stream() {
        {
            std::lock_guard guard(lock_);
            ending_ = true;
        }
        changed_.notify_all();
        worker_.join();
    }
    void enqueue(Work step) {
        if (recording) {
            recording->steps.push_back(std::move(step));
            return;
        }
        std::lock_guard guard(lock_);
        pending_.push_back(std::move(step));
        changed_.notify_all();
    }
    void drain() {
        std::unique_lock guard(lock_);
        changed_.wait(guard, [&] { return pending_.empty() && !busy_; });
    }
    std::unique_ptr<Graph> recording;

private:
    void work() {
        std::unique_lock guard(lock_);
        for (;;) {
            changed_.wait(guard, [&] { return ending_ || !pending_.empty(); });
            if (pending_.empty()) return;
            Work step = std::move(pending_.front());
            pending_.pop_front();
            busy_ = true;
            guard.unlock();
            step();
            guard.lock();
            busy_ = false;
            changed_.notify_all();
        }
    }
    std::mutex lock_;
    std::condition_variable changed_;
    std::deque<Work> pending_;
    bool busy_ = false, ending_ = false;
    std::thread worker_;
};

struct Function {
    std::string name;
    void (*launch)(const unsigned*, int, int, void**);
    std::vector<unsigned> sizes;
};

std::mutex all;
std::atomic<int> sticky{0};  // the fault after which every call fails
int retained = 0;
std::map<char*, size_t> memory;
std::map<char*, size_t> locked;
std::set<Stream*> streams;
thread_local std::vector<void*> contexts;
char the_context;

int ready() { return contexts.empty() ? invalid_context : sticky.load(); }

bool holds(const std::map<char*, size_t>& pieces, const void* address, size_t bytes) {
    auto after = pieces.upper_bound(static_cast<char*>(const_cast<void*>(address)));
    if (after == pieces.begin()) return false;
    auto [start, size] = *std::prev(after);
    return static_cast<const char*>(address) + bytes <= start + size;
}

bool on_device(const void* address, size_t bytes) {
    std::lock_guard guard(all);
    return holds(memory, address, bytes);
}

void drain_all() {
    std::vector<Stream*> now;
    {
        std::lock_guard guard(all);
        now.assign(streams.begin(), streams.end());
    }
    for (Stream* stream : now) stream->drain();
}

void check_guard(const char* start, size_t size) {
    for (size_t i = 0; i < guard_bytes; ++i) {
        if (static_cast<unsigned char>(start[size + i]) != rubbish) {
            std::fprintf(stderr, "device memory of %zu bytes was written past its end\n", size);
            std::abort();
        }
    }
}

// A copy between pageable memory and the device ends before the call returns; with page-locked memory it goes on.
int copy(Stream* stream, void* target, const void* source, size_t bytes, const void* host) {
    stream->enqueue([=] {
        if (sticky == 0) std::memcpy(target, source, bytes);
    });
    bool asynchronous;
    {
        std::lock_guard guard(all);
        asynchronous = holds(locked, host, bytes);
    }
    if (!asynchronous && !stream->recording) stream->drain();
    return sticky;
}

// A discrete Fourier transform of any length, by its prime factors, in double precision.
using Values = std::vector<std::complex<double>>;

const Values& turns_of(size_t n, int sign) {
    static thread_local std::map<std::pair<size_t, int>, Values> known;
    Values& turns = known[{n, sign}];
    for (size_t i = turns.size(); i < n; ++i)
        turns.push_back(std::polar(1.0, sign * 2 * M_PI * static_cast<double>(i) / static_cast<double>(n)));
    return turns;
}

Values transformed(const Values& values, int sign) {
    const size_t n = values.size();
    if (n == 1) return values;
    size_t factor = 2;
    while (factor * factor <= n && n % factor) ++factor;
    if (n % factor) factor = n;
    const size_t part = n / factor;
    std::vector<Values> parts(factor, Values(part));
    for (size_t i = 0; i < n; ++i) parts[i % factor][i / factor] = values[i];
    for (Values& one : parts) one = transformed(one, sign);
    const Values& turns = turns_of(n, sign);
    Values result(n);
    for (size_t i = 0; i < n; ++i)
        for (size_t k = 0; k < factor; ++k) result[i] += parts[k][i % part] * turns[i * k % n];
    return result;
}

void transform_field(Values& field, size_t height, size_t width, int sign) {
    for (size_t y = 0; y < height; ++y) {
        Values row(field.begin() + y * width, field.begin() + (y + 1) * width);
        row = transformed(row, sign);
        std::copy(row.begin(), row.end(), field.begin() + y * width);
    }
    for (size_t x = 0; x < width; ++x) {
        Values column(height);
        for (size_t y = 0; y < height; ++y) column[y] = field[y * width + x];
        column = transformed(column, sign);
        for (size_t y = 0; y < height; ++y) field[y * width + x] = column[y];
    }
}

struct Plan {
    size_t height, width;
    Stream* stream = nullptr;
};
std::map<int, Plan> plans;
int next_plan = 1;

Plan plan_of(int number) {
    std::lock_guard guard(all);
    return plans.at(number);
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return std::getenv("QPI_STAND_IN_HAS_NO_GPU") ? no_device : success; }
int cuDriverGetVersion(int* version) { return *version = 13000, success; }
int cuDeviceGet(int* device, int) { return *device = 0, success; }
int cuDeviceGetCount(int* count) { return *count = 1, success; }
int cuDeviceTotalMem(size_t* bytes, int) { return *bytes = device_bytes, success; }
int cuDeviceGetName(char* name, int length, int) { return std::snprintf(name, length, "stand-in for a GPU"), success; }
int cuDeviceGetAttribute(int* value, int which, int) { return *value = which == 75 ? 9 : 0, success; }  // 75: the major

int cuDevicePrimaryCtxRetain(void** context, int) {
    std::lock_guard guard(all);
    ++retained;
    *context = &the_context;
    return success;
}
int cuDevicePrimaryCtxRelease(int) {
    std::lock_guard guard(all);
    return retained-- > 0 ? success : invalid_context;
}
int cuDevicePrimaryCtxReset(int) {
    drain_all();
    std::lock_guard guard(all);
    sticky = 0;
    locked.clear();
    return success;
}
int cuCtxPushCurrent(void* context) { return contexts.push_back(context), success; }
int cuCtxPopCurrent(void** context) {
    if (contexts.empty()) return invalid_context;
    if (context) *context = contexts.back();
    contexts.pop_back();
    return success;
}
int cuMemGetInfo(size_t* free, size_t* total) {
    if (int wrong = ready()) return wrong;
    *free = *total = device_bytes;
    return success;
}
int cuMemAlloc(uint64_t* address, size_t bytes) {
    if (int wrong = ready()) return wrong;
    std::lock_guard guard(all);
    size_t held = bytes;
    for (auto [start, size] : memory) held += size;
    if (held > device_bytes) return out_of_memory;
    char* start = static_cast<char*>(std::malloc(bytes + guard_bytes));
    std::memset(start, rubbish, bytes + guard_bytes);
    memory[start] = bytes;
    *address = reinterpret_cast<uint64_t>(start);
    return success;
}
int cuMemFree(uint64_t address) {
    if (int wrong = ready()) return wrong;
    drain_all();
    std::lock_guard guard(all);
    auto found = memory.find(reinterpret_cast<char*>(address));
    if (found == memory.end()) return invalid_value;
    check_guard(found->first, found->second);
    std::free(found->first);
    memory.erase(found);
    return success;
}
int cuMemHostRegister(void* address, size_t bytes, unsigned) {
    if (int wrong = ready()) return wrong;
    std::lock_guard guard(all);
    if (reinterpret_cast<uint64_t>(address) % 4096 || locked.count(static_cast<char*>(address))) return invalid_value;
    locked[static_cast<char*>(address)] = bytes;
    return success;
}
int cuMemHostUnregister(void* address) {
    if (int wrong = ready()) return wrong;
    drain_all();
    std::lock_guard guard(all);
    return locked.erase(static_cast<char*>(address)) ? success : invalid_value;
}
int cuMemcpyHtoDAsync(uint64_t target, const void* source, size_t bytes, Stream* stream) {
    if (int wrong = ready()) return wrong;
    void* there = reinterpret_cast<void*>(target);
    return on_device(there, bytes) ? copy(stream, there, source, bytes, source) : invalid_value;
}
int cuMemcpyDtoHAsync(void* target, uint64_t source, size_t bytes, Stream* stream) {
    if (int wrong = ready()) return wrong;
    const void* there = reinterpret_cast<void*>(source);
    return on_device(there, bytes) ? copy(stream, target, there, bytes, target) : invalid_value;
}
int cuMemsetD8Async(uint64_t target, unsigned char byte, size_t bytes, Stream* stream) {
    if (int wrong = ready()) return wrong;
    void* there = reinterpret_cast<void*>(target);
    if (!on_device(there, bytes)) return invalid_value;
    stream->enqueue([=] { std::memset(there, byte, bytes); });
    return success;
}
int cuStreamCreate(Stream** stream, unsigned flags) {
    if (int wrong = ready()) return wrong;
    if (flags != 1) return invalid_value;  // of ours none may wait for the default stream
    *stream = new Stream;
    std::lock_guard guard(all);
    streams.insert(*stream);
    return success;
}
int cuStreamDestroy(Stream* stream) {
    if (int wrong = ready()) return wrong;
    {
        std::lock_guard guard(all);
        if (!streams.erase(stream)) return invalid_value;
    }
    stream->drain();
    delete stream;
    return success;
}
int cuStreamSynchronize(Stream* stream) {
    if (int wrong = ready()) return wrong;
    if (stream->recording) return capture_unsupported;
    stream->drain();
    return sticky;
}
int cuStreamWaitEvent(Stream* stream, Event* event, unsigned) {
    if (int wrong = ready()) return wrong;
    const long number = event->recorded;
    stream->enqueue([=] { event->wait(number); });
    return success;
}
int cuStreamBeginCapture(Stream* stream, int) {
    if (int wrong = ready()) return wrong;
    stream->recording = std::make_unique<Graph>();
    return success;
}
int cuStreamEndCapture(Stream* stream, Graph** graph) {
    if (int wrong = ready()) return wrong;
    *graph = stream->recording.release();
    return *graph ? success : invalid_value;
}
int cuGraphInstantiateWithFlags(Graph** launchable, Graph* graph, unsigned long long) {
    if (int wrong = ready()) return wrong;
    *launchable = new Graph(*graph);
    return success;
}
int cuGraphDestroy(Graph* graph) { return delete graph, success; }
int cuGraphExecDestroy(Graph* graph) {
    if (int wrong = ready()) return wrong;
    drain_all();
    return delete graph, success;
}
int cuGraphLaunch(Graph* graph, Stream* stream) {
    if (int wrong = ready()) return wrong;
    for (const Work& step : graph->steps) stream->enqueue(step);
    return success;
}
int cuEventCreate(Event** event, unsigned) {
    if (int wrong = ready()) return wrong;
    *event = new Event;
    return success;
}
int cuEventDestroy(Event* event) {
    drain_all();
    return delete event, success;
}
int cuEventRecord(Event* event, Stream* stream) {
    if (int wrong = ready()) return wrong;
    if (stream->recording) return success;
    const long number = ++event->recorded;
    stream->enqueue([=] { event->pass(number); });
    return success;
}
int cuEventQuery(Event* event) {
    if (int wrong = ready()) return wrong;
    return event->is_done() ? success : not_ready;
}
int cuEventSynchronize(Event* event) {
    if (int wrong = ready()) return wrong;
    event->wait(event->recorded);
    return sticky;
}
int cuEventElapsedTime(float* took_ms, Event* began, Event* ended) {
    if (int wrong = ready()) return wrong;
    if (!began->recorded || !ended->recorded) return 400;  // invalid handle
    if (!began->is_done() || !ended->is_done()) return not_ready;
    *took_ms = std::chrono::duration<float, std::milli>(ended->at - began->at).count();
    return success;
}
int cuModuleLoadData(void** module, const void* image) {
    if (int wrong = ready()) return wrong;
    *module = dlopen(static_cast<const char*>(image), RTLD_NOW);
    return *module ? success : 200;  // invalid image
}
int cuModuleUnload(void* module) { return module ? success : invalid_value; }
int cuModuleGetFunction(Function** function, void* module, const char* name) {
    if (int wrong = ready()) return wrong;
    const std::string named = name;
    auto* count = static_cast<unsigned*>(dlsym(module, ("count_" + named).c_str()));
    auto* kinds = static_cast<unsigned*>(dlsym(module, ("kinds_" + named).c_str()));
    void* launch = dlsym(module, ("launch_" + named).c_str());
    if (!count || !launch) return not_found;
    *function = new Function{named, reinterpret_cast<void (*)(const unsigned*, int, int, void**)>(launch), {}};
    for (unsigned i = 0; i < *count; ++i) (*function)->sizes.push_back(kinds[i] & 0xFF);
    return success;
}
int cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned, Stream* stream, void** arguments, void** extra) {
    if (int wrong = ready()) return wrong;
    const std::vector<unsigned> dims = {grid_x, grid_y, grid_z, block_x, block_y, block_z};
    if (block_x * block_y * block_z > 1024 || grid_y > 65535 || grid_z > 65535 || !grid_x) return invalid_value;
    std::vector<std::vector<char>> values;
    for (size_t i = 0; i < function->sizes.size(); ++i) {
        if (!arguments && i == 0) {  // packed, each at a multiple of its own size
            size_t at = 0;
            for (unsigned size : function->sizes) {
                at = (at + size - 1) / size * size;
                const char* value = static_cast<char*>(extra[1]) + at;
                values.emplace_back(value, value + size);
                at += size;
            }
        }
        if (!arguments) break;
        const char* value = static_cast<char*>(arguments[i]);
        values.emplace_back(value, value + function->sizes[i]);
    }
    stream->enqueue([=]() mutable {
        if (sticky) return;
        if (function->name == "fault") {
            sticky = illegal_address;
            return;
        }
        std::vector<void*> places;
        for (auto& value : values) places.push_back(value.data());
        function->launch(dims.data(), 0, 1, places.data());
    });
    return success;
}
int cuGetErrorName(int, const char** text) { return *text = "STAND_IN", success; }

// The binding asks for each function by its name; only those of this library count.
int cuGetProcAddress(const char* name, void** function, int, uint64_t, int* found) {
    Dl_info mine;
    dladdr(reinterpret_cast<void*>(&cuInit), &mine);
    *function = dlsym(dlopen(mine.dli_fname, RTLD_NOW | RTLD_NOLOAD), name);
    if (found) *found = *function ? 0 : 1;
    return success;
}
int cuGetProcAddress_v2(const char* name, void** function, int version, uint64_t flags, int* found) {
    return cuGetProcAddress(name, function, version, flags, found);
}

// What PyCUDA calls beside, and the names under which it is linked to the others.
int cuCtxGetCurrent(void** context) { return *context = contexts.empty() ? nullptr : contexts.back(), success; }
int cuCtxGetDevice(int* device) { return *device = 0, contexts.empty() ? invalid_context : success; }
int cuModuleLoadDataEx(void** module, const void* image, unsigned, void*, void**) { return cuModuleLoadData(module, image); }
int cuDeviceComputeCapability(int* major, int* minor, int) { return *major = 9, *minor = 0, success; }
int cuFuncSetBlockShape(Function*, int, int, int) { return success; }
int cuFuncSetSharedSize(Function*, unsigned) { return success; }
int cuCtxSynchronize() { return drain_all(), sticky.load(); }
int cuGetErrorString(int, const char** text) { return *text = "stand-in", success; }
int cuFuncGetAttribute(int* value, int, Function*) { return *value = 0, success; }

#define ALSO(plain, versioned) decltype(plain) versioned __attribute__((alias(#plain)));
ALSO(cuCtxPopCurrent, cuCtxPopCurrent_v2)
ALSO(cuCtxPushCurrent, cuCtxPushCurrent_v2)
ALSO(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2)
ALSO(cuDevicePrimaryCtxReset, cuDevicePrimaryCtxReset_v2)
ALSO(cuDeviceTotalMem, cuDeviceTotalMem_v2)
ALSO(cuEventDestroy, cuEventDestroy_v2)
ALSO(cuEventElapsedTime, cuEventElapsedTime_v2)
ALSO(cuMemAlloc, cuMemAlloc_v2)
ALSO(cuMemFree, cuMemFree_v2)
ALSO(cuMemGetInfo, cuMemGetInfo_v2)
ALSO(cuMemcpyDtoHAsync, cuMemcpyDtoHAsync_v2)
ALSO(cuMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2)
ALSO(cuStreamDestroy, cuStreamDestroy_v2)

int cufftPlan2d(int* plan, int height, int width, int) {
    std::lock_guard guard(all);
    *plan = next_plan++;
    plans[*plan] = Plan{static_cast<size_t>(height), static_cast<size_t>(width)};
    return contexts.empty() ? 5 : 0;
}
int cufftDestroy(int plan) {
    std::lock_guard guard(all);
    return plans.erase(plan) ? 0 : 1;
}
int cufftSetStream(int plan, Stream* stream) {
    std::lock_guard guard(all);
    plans.at(plan).stream = stream;
    return 0;
}
int cufftExecR2C(int number, const float* reals, std::complex<float>* half) {
    const Plan plan = plan_of(number);
    plan.stream->enqueue([=] {
        Values field(reals, reals + plan.height * plan.width);
        transform_field(field, plan.height, plan.width, -1);
        const size_t columns = plan.width / 2 + 1;
        for (size_t y = 0; y < plan.height; ++y)
            for (size_t x = 0; x < columns; ++x) half[y * columns + x] = std::complex<float>(field[y * plan.width + x]);
    });
    return 0;
}
int cufftExecC2C(int number, const std::complex<float>* from, std::complex<float>* to, int sign) {
    const Plan plan = plan_of(number);
    plan.stream->enqueue([=] {
        Values field(from, from + plan.height * plan.width);
        transform_field(field, plan.height, plan.width, sign);
        for (size_t i = 0; i < field.size(); ++i) to[i] = std::complex<float>(field[i]);
    });
    return 0;
}

}  // extern "C"
