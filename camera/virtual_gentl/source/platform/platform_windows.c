#include "platform.h" /* before the #ifdef: ISO C forbids a file without a declaration */

#ifdef _WIN32
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void mutex_init(Mutex *mutex) { InitializeCriticalSection(mutex); }
void mutex_lock(Mutex *mutex) { EnterCriticalSection(mutex); }
void mutex_unlock(Mutex *mutex) { LeaveCriticalSection(mutex); }

void condition_init(Condition *condition) { InitializeConditionVariable(condition); }
void condition_wake_all(Condition *condition) { WakeAllConditionVariable(condition); }

static DWORD milliseconds_until(uint64_t until_ns) {
    uint64_t now_ns = monotonic_ns();
    if (until_ns == UINT64_MAX) return INFINITE;
    if (until_ns <= now_ns) return 0;
    uint64_t wait_ms = (until_ns - now_ns + 999999u) / 1000000u;
    return wait_ms < INFINITE ? (DWORD)wait_ms : INFINITE - 1;
}

void condition_wait_until(Condition *condition, Mutex *mutex, uint64_t until_ns) {
    SleepConditionVariableCS(condition, mutex, milliseconds_until(until_ns));
}

struct ThreadStart {
    void (*body)(void *);
    void *argument;
};

static DWORD WINAPI run_thread(void *raw) {
    struct ThreadStart start = *(struct ThreadStart *)raw;
    free(raw);
    start.body(start.argument);
    return 0;
}

bool thread_start(Thread *thread, void (*body)(void *argument), void *argument) {
    struct ThreadStart *start = malloc(sizeof *start);
    if (!start) return false;
    start->body = body;
    start->argument = argument;
    *thread = CreateThread(NULL, 0, run_thread, start, 0, NULL);
    if (*thread) return true;
    free(start);
    return false;
}

void thread_join(Thread thread) {
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

uint64_t monotonic_ns(void) {
    LARGE_INTEGER frequency, count;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    uint64_t ticks = (uint64_t)count.QuadPart, per_s = (uint64_t)frequency.QuadPart;
    return ticks / per_s * 1000000000u + ticks % per_s * 1000000000u / per_s;
}

uint64_t unix_ns(void) {
    const uint64_t epoch_100ns = 116444736000000000u; /* 1970-01-01 in FILETIME's count from 1601 */
    FILETIME time;
    GetSystemTimePreciseAsFileTime(&time);
    return ((((uint64_t)time.dwHighDateTime << 32) | time.dwLowDateTime) - epoch_100ns) * 100u;
}

void sleep_until_ns(uint64_t until_monotonic_ns) {
    /* The high-resolution timer (Windows 10, 1803) wakes within 0.5 ms; Sleep alone is 15 ms coarse. */
    uint64_t now_ns = monotonic_ns();
    if (until_monotonic_ns <= now_ns) return;
    HANDLE timer = CreateWaitableTimerExW(NULL, NULL, 0x2 /* CREATE_WAITABLE_TIMER_HIGH_RESOLUTION */, TIMER_ALL_ACCESS);
    LARGE_INTEGER due;
    due.QuadPart = -(LONGLONG)((until_monotonic_ns - now_ns) / 100u);
    if (timer && SetWaitableTimer(timer, &due, 0, NULL, NULL, FALSE))
        WaitForSingleObject(timer, INFINITE);
    else
        Sleep(milliseconds_until(until_monotonic_ns));
    if (timer) CloseHandle(timer);
}

bool file_map(const char *path, MappedFile *file) {
    LARGE_INTEGER size;
    bool mapped = false;
    HANDLE handle = CreateFileA(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (handle == INVALID_HANDLE_VALUE) return false;
    if (GetFileSizeEx(handle, &size) && size.QuadPart > 0) {
        HANDLE mapping = CreateFileMappingA(handle, NULL, PAGE_READONLY, 0, 0, NULL);
        file->bytes = mapping ? MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0) : NULL;
        file->size = (size_t)size.QuadPart;
        mapped = file->bytes != NULL;
        if (mapping) CloseHandle(mapping);
    }
    CloseHandle(handle);
    return mapped;
}

void file_unmap(MappedFile *file) {
    if (file->bytes) UnmapViewOfFile(file->bytes);
    file->bytes = NULL;
    file->size = 0;
}

FileLock file_lock(const char *path) {
    return CreateFileA(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_ALWAYS, 0, NULL); /* shared with nobody */
}

void file_unlock(FileLock lock) {
    if (lock != NO_FILE_LOCK) CloseHandle(lock);
}

uint64_t file_read_number(const char *path) {
    uint64_t number = 0;
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    if (fscanf(file, "%" SCNu64, &number) != 1) number = 0;
    fclose(file);
    return number;
}

void file_write_number(const char *path, uint64_t number) {
    FILE *file = fopen(path, "w");
    if (!file) return;
    fprintf(file, "%" PRIu64 "\n", number);
    fclose(file);
}

void own_path(char *path, size_t size) {
    static const char inside_this_library = 0;
    HMODULE module = NULL;
    DWORD flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    if (!GetModuleHandleExA(flags, &inside_this_library, &module) || !GetModuleFileNameA(module, path, (DWORD)size))
        snprintf(path, size, "virtual-camera.cti");
}
#endif
