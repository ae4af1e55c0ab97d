/* What differs between POSIX and Windows: threads, monotonic time, mapped files and locks held across processes. */
#ifndef VIRTUAL_GENTL_PLATFORM_H
#define VIRTUAL_GENTL_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
typedef CRITICAL_SECTION Mutex;
typedef CONDITION_VARIABLE Condition;
typedef HANDLE Thread;
typedef HANDLE FileLock;
#define NO_FILE_LOCK INVALID_HANDLE_VALUE
#ifdef _MSC_VER
#define THREAD_LOCAL __declspec(thread)
#else
#define THREAD_LOCAL _Thread_local
#endif
#else
#include <pthread.h>
typedef pthread_mutex_t Mutex;
typedef pthread_cond_t Condition;
typedef pthread_t Thread;
typedef int FileLock;
#define NO_FILE_LOCK (-1)
#define THREAD_LOCAL _Thread_local
#endif

typedef struct {
    const uint8_t *bytes;
    size_t size;
} MappedFile;

void mutex_init(Mutex *mutex);
void mutex_lock(Mutex *mutex);
void mutex_unlock(Mutex *mutex);

void condition_init(Condition *condition);
void condition_wake_all(Condition *condition);
/* Waits, with `mutex` held, until it is woken or `monotonic_ns` reaches `until_ns`; UINT64_MAX waits for ever. */
void condition_wait_until(Condition *condition, Mutex *mutex, uint64_t until_ns);

bool thread_start(Thread *thread, void (*body)(void *argument), void *argument);
void thread_join(Thread thread);

uint64_t monotonic_ns(void);
uint64_t unix_ns(void);
void sleep_until_ns(uint64_t until_monotonic_ns);

/* Maps a whole file for reading; false when it cannot be read or is empty. */
bool file_map(const char *path, MappedFile *file);
void file_unmap(MappedFile *file);

/* Takes the lock of the file at `path` (made when missing), which the system drops when the process dies. Returns
 * NO_FILE_LOCK when another holder has it or the file cannot be made. */
FileLock file_lock(const char *path);
void file_unlock(FileLock lock);

/* Reads or replaces the one number that the file at `path` holds; 0 when there is none. */
uint64_t file_read_number(const char *path);
void file_write_number(const char *path, uint64_t number);

/* The path of this library itself. */
void own_path(char *path, size_t size);

#endif
