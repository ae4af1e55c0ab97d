#define _GNU_SOURCE
#include "platform.h" /* before the #ifndef: ISO C forbids a file without a declaration */

#ifndef _WIN32
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const uint64_t NS_PER_S = 1000000000u;

static struct timespec timespec_of(uint64_t ns) {
    struct timespec time = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    return time;
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

void mutex_init(Mutex *mutex) { pthread_mutex_init(mutex, NULL); }
void mutex_lock(Mutex *mutex) { pthread_mutex_lock(mutex); }
void mutex_unlock(Mutex *mutex) { pthread_mutex_unlock(mutex); }

void condition_init(Condition *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* or a set clock would stretch every timeout */
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

void condition_wake_all(Condition *condition) { pthread_cond_broadcast(condition); }

void condition_wait_until(Condition *condition, Mutex *mutex, uint64_t until_ns) {
    if (until_ns == UINT64_MAX) {
        pthread_cond_wait(condition, mutex);
        return;
    }
    struct timespec until = timespec_of(until_ns);
    pthread_cond_timedwait(condition, mutex, &until);
}

struct ThreadStart {
    void (*body)(void *);
    void *argument;
};

static void *run_thread(void *raw) {
    struct ThreadStart start = *(struct ThreadStart *)raw;
    free(raw);
    start.body(start.argument);
    return NULL;
}

bool thread_start(Thread *thread, void (*body)(void *argument), void *argument) {
    struct ThreadStart *start = malloc(sizeof *start);
    if (!start) return false;
    start->body = body;
    start->argument = argument;
    if (pthread_create(thread, NULL, run_thread, start) == 0) return true;
    free(start);
    return false;
}

void thread_join(Thread thread) { pthread_join(thread, NULL); }

uint64_t monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t unix_ns(void) { return clock_ns(CLOCK_REALTIME); }

void sleep_until_ns(uint64_t until_monotonic_ns) {
    struct timespec until = timespec_of(until_monotonic_ns);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

bool file_map(const char *path, MappedFile *file) {
    struct stat status;
    bool mapped = false;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return false;
    if (fstat(descriptor, &status) == 0 && status.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        mapped = bytes != MAP_FAILED;
        if (mapped) {
            file->bytes = bytes;
            file->size = (size_t)status.st_size;
        }
    }
    close(descriptor);
    return mapped;
}

void file_unmap(MappedFile *file) {
    if (file->bytes) munmap((void *)file->bytes, file->size);
    file->bytes = NULL;
    file->size = 0;
}

FileLock file_lock(const char *path) {
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) return NO_FILE_LOCK;
    if (flock(descriptor, LOCK_EX | LOCK_NB) == 0) return descriptor;
    close(descriptor);
    return NO_FILE_LOCK;
}

void file_unlock(FileLock lock) {
    if (lock != NO_FILE_LOCK) close(lock);
}

uint64_t file_read_number(const char *path) {
    uint64_t number = 0;
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    if (fscanf(file, "%" SCNu64, &number) != 1) number = 0;
    fclose(file);
    return number;
}

void file_write_number(const char *path, uint64_t number) {
    FILE *file = fopen(path, "we");
    if (!file) return;
    fprintf(file, "%" PRIu64 "\n", number);
    fclose(file);
}

void own_path(char *path, size_t size) {
    static const char inside_this_library = 0;
    Dl_info info;
    bool known = dladdr(&inside_this_library, &info) != 0 && info.dli_fname;
    snprintf(path, size, "%s", known ? info.dli_fname : "virtual-camera.cti");
}
#endif
