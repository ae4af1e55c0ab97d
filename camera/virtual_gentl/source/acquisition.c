/* The camera's own thread: when to expose, what goes wrong on demand, and one copy into the client's buffer. */
#include <math.h>
#include <string.h>

#include "answer.h"
#include "camera.h"

#define LATEST_CATCH_UP_NS 200000000u /* further behind than this, frames are skipped instead of sent in a burst */
#define WAKE_EARLY_NS 20000000u       /* a condition wakes late by a tick, 16 ms on Windows; a plain sleep does the rest */
#define LARGEST_16_BIT_ID 65535u

static bool is_nth(uint32_t every, uint64_t number) { return every && number % every == every - 1; }

/* With the mutex held: waits for a trigger. False when the camera should stop. */
static bool wait_for_trigger(Camera *camera) {
    while (!camera->stop && !camera->triggers && register_u32(camera, ADDRESS_TriggerMode))
        condition_wait_until(&camera->control_changed, &camera->mutex, monotonic_ns() + 100000000u);
    if (camera->triggers) camera->triggers--;
    return !camera->stop;
}

/* With the mutex held: waits until the next frame of the set rate is due. False when the camera should stop. */
static bool wait_for_due_time(Camera *camera, uint64_t *due_ns) {
    double rate_hz = register_f64(camera, ADDRESS_AcquisitionFrameRate);
    uint64_t now_ns = monotonic_ns();
    *due_ns += (uint64_t)(1e9 / (rate_hz > 0.1 ? rate_hz : 0.1));
    if (*due_ns + LATEST_CATCH_UP_NS < now_ns) *due_ns = now_ns;
    while (!camera->stop && monotonic_ns() + WAKE_EARLY_NS < *due_ns)
        condition_wait_until(&camera->control_changed, &camera->mutex, *due_ns - WAKE_EARLY_NS);
    if (camera->stop) return false;
    mutex_unlock(&camera->mutex);
    sleep_until_ns(*due_ns);
    mutex_lock(&camera->mutex);
    return !camera->stop;
}

/* With the mutex held: sits the fault out in small steps. */
static void stall(Camera *camera) {
    uint32_t stall_ms = register_u32(camera, ADDRESS_FaultStallMs);
    if (!stall_ms) return;
    memset(camera->registers + ADDRESS_FaultStallMs, 0, sizeof stall_ms); /* once only */
    uint64_t until_ns = monotonic_ns() + (uint64_t)stall_ms * 1000000u;
    while (!camera->stop && monotonic_ns() < until_ns)
        condition_wait_until(&camera->control_changed, &camera->mutex, until_ns);
}

static uint64_t id_of(const Camera *camera, uint64_t number) {
    uint64_t id = register_u64(camera, ADDRESS_FaultIdStart) + number;
    /* GigE Vision 1.x counts 1 … 65535 and never 0 */
    return register_u32(camera, ADDRESS_FaultIdBits) == 16 ? 1 + (id + LARGEST_16_BIT_ID - 1) % LARGEST_16_BIT_ID : id;
}

static double brightness_of(const Camera *camera) {
    double exposures = register_f64(camera, ADDRESS_ExposureTime) / 1000.0;
    return exposures * pow(10.0, register_f64(camera, ADDRESS_Gain) / 20.0);
}

static void deliver(Camera *camera, Buffer *buffer) {
    buffer->state = BUFFER_FILLED;
    queue_push(&camera->filled, buffer);
    camera->events_fired++;
    condition_wake_all(&camera->buffers_changed);
}

/* With the mutex held: hands the frame over, or keeps it back so that it arrives after its successor. */
static void hand_over(Camera *camera, Buffer *buffer, uint64_t number) {
    if (is_nth(register_u32(camera, ADDRESS_FaultLateEvery), number) && !camera->held_back) {
        camera->held_back = buffer;
        return;
    }
    deliver(camera, buffer);
    if (camera->held_back) deliver(camera, camera->held_back);
    camera->held_back = NULL;
}

static void copy_pixels(Camera *camera, Buffer *buffer, uint64_t number, double brightness, bool stamp) {
    const uint8_t *pixels = scene_frame(&camera->scene, number, brightness);
    size_t bytes = payload_bytes(buffer->geometry);
    if (bytes > buffer->size) bytes = buffer->size;
    if (buffer->is_incomplete) bytes /= 2;
    if (pixels) memcpy(buffer->memory, pixels, bytes);
    if (stamp && bytes >= sizeof buffer->frame_id)
        memcpy(buffer->memory, &buffer->frame_id, sizeof buffer->frame_id);
    buffer->filled = pixels ? bytes : 0;
}

/* With the mutex held, let go of while the pixels are copied. */
static void expose(Camera *camera, uint64_t number) {
    double brightness = brightness_of(camera);
    bool stamp = register_u32(camera, ADDRESS_VirtualStampId) != 0;
    if (is_nth(register_u32(camera, ADDRESS_FaultDropEvery), number)) return; /* lost on the way: its id is used up */
    Buffer *buffer = camera->stream_running ? queue_pop(&camera->queued) : NULL;
    if (!buffer) {
        if (camera->stream_running) camera->underruns++;
        return;
    }
    camera->frames_started++;
    buffer->state = BUFFER_FILLING;
    buffer->geometry = camera->scene.geometry;
    if (register_u32(camera, ADDRESS_FaultFormatChange)) buffer->geometry.height /= 2;
    buffer->is_incomplete = is_nth(register_u32(camera, ADDRESS_FaultIncompleteEvery), number);
    buffer->frame_id = id_of(camera, number);
    buffer->timestamp_ns = monotonic_ns();
    buffer->has_new_data = true;
    camera->filling = buffer;
    mutex_unlock(&camera->mutex);
    copy_pixels(camera, buffer, number, brightness, stamp);
    mutex_lock(&camera->mutex);
    camera->filling = NULL;
    hand_over(camera, buffer, number);
    condition_wake_all(&camera->buffers_changed);
}

static bool has_sent_enough(const Camera *camera, uint64_t frames) {
    switch (register_u32(camera, ADDRESS_AcquisitionMode)) {
    case AcquisitionMode_SingleFrame: return frames >= 1;
    case AcquisitionMode_MultiFrame: return frames >= register_u32(camera, ADDRESS_AcquisitionFrameCount);
    default: return frames >= camera->frames_wanted; /* GENTL_INFINITE, or what the client asked of the stream */
    }
}

static void run(void *argument) {
    Camera *camera = argument;
    uint64_t due_ns = monotonic_ns(), frames = 0;
    mutex_lock(&camera->mutex);
    while (!camera->stop && !has_sent_enough(camera, frames)) {
        bool triggered = register_u32(camera, ADDRESS_TriggerMode) != 0;
        if (!(triggered ? wait_for_trigger(camera) : wait_for_due_time(camera, &due_ns))) break;
        if (triggered) due_ns = monotonic_ns();
        stall(camera);
        if (!camera->connection_lost && !camera->stop) expose(camera, frames++);
    }
    camera->exposing = false; /* also when a SingleFrame or MultiFrame acquisition is complete */
    mutex_unlock(&camera->mutex);
}

static void join_last_thread(Camera *camera) {
    mutex_lock(&camera->mutex);
    bool joinable = camera->thread_started;
    camera->thread_started = false;
    mutex_unlock(&camera->mutex);
    if (joinable) thread_join(camera->thread);
}

/* With the mutex held. */
static GC_ERROR launch(Camera *camera) {
    Geometry geometry = geometry_of(camera);
    bool prepared = camera->scene.rendered && memcmp(&camera->scene.geometry, &geometry, sizeof geometry) == 0;
    camera->stop = false;
    camera->triggers = 0;
    if (!prepared && !scene_prepare(&camera->scene, geometry, brightness_of(camera)))
        return fail(GC_ERR_OUT_OF_MEMORY, "there is no memory for the frames");
    camera->exposing = camera->thread_started = thread_start(&camera->thread, run, camera);
    return camera->exposing ? GC_ERR_SUCCESS : fail(GC_ERR_RESOURCE_EXHAUSTED, "the camera's thread cannot be started");
}

GC_ERROR acquisition_start(Camera *camera) {
    mutex_lock(&camera->mutex);
    bool exposing = camera->exposing;
    mutex_unlock(&camera->mutex);
    if (exposing) return GC_ERR_SUCCESS;
    join_last_thread(camera);
    mutex_lock(&camera->mutex);
    GC_ERROR error = launch(camera);
    mutex_unlock(&camera->mutex);
    return error;
}

void acquisition_stop(Camera *camera) {
    mutex_lock(&camera->mutex);
    camera->stop = true;
    condition_wake_all(&camera->control_changed);
    mutex_unlock(&camera->mutex);
    join_last_thread(camera);
}

void acquisition_trigger(Camera *camera, uint32_t source) {
    mutex_lock(&camera->mutex);
    bool heard = register_u32(camera, ADDRESS_TriggerMode) && register_u32(camera, ADDRESS_TriggerSource) == source;
    if (heard && camera->exposing) camera->triggers++;
    condition_wake_all(&camera->control_changed);
    mutex_unlock(&camera->mutex);
}
