/* One virtual camera, and what the files of this library share about it. */
#ifndef VIRTUAL_GENTL_CAMERA_H
#define VIRTUAL_GENTL_CAMERA_H

#include "description.h" /* made from device.xml by build.py */
#include "gentl.h"
#include "platform.h"
#include "scene.h"

#define VENDOR "qpi-live"
#define MODEL "Virtual off-axis camera"
#define VERSION "1.0.0"
#define TRANSPORT "Custom"
#define INTERFACE_ID "virtual-bus"
#define STREAM_ID "stream-0"
#define MAX_CAMERAS 8

typedef enum {
    BUFFER_IDLE,     /* announced, or delivered and with the client */
    BUFFER_QUEUED,   /* waiting to be filled */
    BUFFER_FILLING,  /* the camera's thread is writing it */
    BUFFER_FILLED    /* waiting to be fetched */
} BufferState;

typedef struct Buffer {
    struct Buffer *next_announced;
    struct Buffer *next_in_queue;
    uint8_t *memory;
    size_t size;
    void *user_pointer;
    bool owns_memory;
    BufferState state;
    bool has_new_data, is_incomplete;
    uint64_t frame_id, timestamp_ns;
    size_t filled;
    Geometry geometry;
} Buffer;

typedef struct {
    Buffer *head, *tail;
    size_t length;
} BufferQueue;

typedef struct Camera {
    char serial[32], id[32];

    /* The addresses of these members are the GenTL handles: a handle is checked by comparing, never by reading. */
    char device_handle, remote_handle, stream_handle, event_handle;

    Mutex mutex;              /* guards everything below, except a buffer's memory while the thread fills it */
    Condition buffers_changed; /* a buffer was filled or let go, the event was killed */
    Condition control_changed; /* a trigger came, the thread should stop */

    bool device_open, stream_open, event_registered, event_killed;
    FileLock bus_lock;
    uint64_t unplugged_until_unix_ns;
    bool connection_lost; /* for this opening of the device, even when the camera is back on the bus */
    uint8_t registers[REGISTER_BYTES];

    Buffer *announced;
    size_t announced_count;
    BufferQueue queued, filled;
    bool stream_running;
    uint64_t frames_wanted, frames_started, frames_delivered, underruns, events_fired;

    Thread thread;
    bool thread_started, exposing, stop;
    uint32_t triggers;
    uint64_t hang_until_ns;
    Scene scene;
    Buffer *filling, *held_back;
} Camera;

typedef enum {
    MODULE_NONE,
    MODULE_SYSTEM,
    MODULE_INTERFACE,
    MODULE_DEVICE,
    MODULE_REMOTE_DEVICE,
    MODULE_STREAM,
    MODULE_EVENT
} ModuleKind;

/* library.c: the process's one set of cameras. */
extern Camera cameras[MAX_CAMERAS];
extern size_t camera_count;
extern char system_handle, interface_handle;
bool library_is_ready(void);
const char *library_path(void);
ModuleKind module_of(void *handle, Camera **camera);
#define REQUIRE_LIBRARY()                                                                                              \
    do {                                                                                                               \
        if (!library_is_ready()) return fail(GC_ERR_NOT_INITIALIZED, "call GCInitLib first");                          \
    } while (0)

/* bus.c: who is plugged in and who holds a camera, for this process or for all that share a bus folder. */
bool camera_is_plugged_in(Camera *camera);
void camera_unplug(Camera *camera, uint32_t for_ms);
bool camera_claim(Camera *camera);
void camera_release(Camera *camera);
bool camera_is_held_elsewhere(Camera *camera);

/* registers.c: the memory behind the feature nodes. Callers hold the mutex. */
void registers_reset(Camera *camera);
uint32_t register_u32(const Camera *camera, uint32_t address);
uint64_t register_u64(const Camera *camera, uint32_t address);
double register_f64(const Camera *camera, uint32_t address);
Geometry geometry_of(const Camera *camera);

/* registers.c, taking the mutex themselves. */
GC_ERROR registers_read(Camera *camera, uint64_t address, void *buffer, size_t size);
GC_ERROR registers_write(Camera *camera, uint64_t address, const void *buffer, size_t size);

/* acquisition.c */
GC_ERROR acquisition_start(Camera *camera);
void acquisition_stop(Camera *camera);
void acquisition_trigger(Camera *camera, uint32_t source);

/* stream.c: callers hold the mutex. */
void queue_push(BufferQueue *queue, Buffer *buffer);
Buffer *queue_pop(BufferQueue *queue);
void wait_until_nothing_fills(Camera *camera);
void stream_discard_filled(Camera *camera);
void stream_forget_buffers(Camera *camera);

#endif
