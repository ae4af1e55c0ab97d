/* The one event there is, "new buffer" of a stream: how a client waits for frames. */
#include <string.h>

#include "answer.h"
#include "camera.h"

#define REQUIRE_EVENT(handle, camera)                                                                                  \
    Camera *camera;                                                                                                    \
    REQUIRE_LIBRARY();                                                                                                 \
    if (module_of((handle), &camera) != MODULE_EVENT) return fail(GC_ERR_INVALID_HANDLE, "this handle is no event's")

GC_API GCRegisterEvent(void *source, int32_t event_type, void **event) {
    Camera *camera;
    REQUIRE_LIBRARY();
    ModuleKind kind = module_of(source, &camera);
    if (kind == MODULE_NONE) return fail(GC_ERR_INVALID_HANDLE, "this handle is no module's");
    if (kind != MODULE_STREAM || event_type != EVENT_NEW_BUFFER)
        return fail(GC_ERR_NOT_IMPLEMENTED, "only a stream's new-buffer event is implemented");
    if (camera->event_registered) return fail(GC_ERR_RESOURCE_IN_USE, "the event is registered already");
    camera->event_registered = true;
    camera->event_killed = false;
    camera->events_fired = 0;
    *event = &camera->event_handle;
    return GC_ERR_SUCCESS;
}

GC_API GCUnregisterEvent(void *source, int32_t event_type) {
    Camera *camera;
    REQUIRE_LIBRARY();
    if (module_of(source, &camera) != MODULE_STREAM || event_type != EVENT_NEW_BUFFER)
        return fail(GC_ERR_NOT_IMPLEMENTED, "only a stream's new-buffer event is implemented");
    mutex_lock(&camera->mutex);
    camera->event_registered = false;
    condition_wake_all(&camera->buffers_changed);
    mutex_unlock(&camera->mutex);
    return GC_ERR_SUCCESS;
}

/* With the mutex held: the oldest filled buffer, or NULL and why there is none. */
static Buffer *wait_for_buffer(Camera *camera, uint64_t until_ns, GC_ERROR *error) {
    while (!camera->filled.head && camera->event_registered && !camera->event_killed && monotonic_ns() < until_ns)
        condition_wait_until(&camera->buffers_changed, &camera->mutex, until_ns);
    *error = GC_ERR_SUCCESS;
    if (camera->event_killed) {
        camera->event_killed = false;
        *error = fail(GC_ERR_ABORT, "the wait was ended by EventKill");
    } else if (!camera->event_registered) {
        *error = fail(GC_ERR_INVALID_HANDLE, "the event was unregistered");
    } else if (!camera->filled.head) {
        *error = fail(GC_ERR_TIMEOUT, "no buffer was filled in time");
    }
    return *error ? NULL : queue_pop(&camera->filled);
}

GC_API EventGetData(void *event, void *buffer, size_t *size, uint64_t timeout_ms) {
    REQUIRE_EVENT(event, camera);
    EVENT_NEW_BUFFER_DATA data;
    GC_ERROR error;
    uint64_t now_ns = monotonic_ns(), until_ns = UINT64_MAX;
    if (!buffer || !size || *size < sizeof data) return fail(GC_ERR_BUFFER_TOO_SMALL, "the buffer is too small");
    if (timeout_ms < (UINT64_MAX - now_ns) / 1000000u) until_ns = now_ns + timeout_ms * 1000000u;
    if (camera->hang_until_ns > now_ns) sleep_until_ns(camera->hang_until_ns); /* the fault, whatever the timeout */
    mutex_lock(&camera->mutex);
    Buffer *filled = wait_for_buffer(camera, until_ns, &error);
    if (filled) {
        filled->state = BUFFER_IDLE;
        camera->frames_delivered++;
        data = (EVENT_NEW_BUFFER_DATA){filled, filled->user_pointer};
        memcpy(buffer, &data, sizeof data);
        *size = sizeof data;
    }
    mutex_unlock(&camera->mutex);
    return error;
}

GC_API EventGetDataInfo(void *event, const void *raw, size_t raw_size, int32_t command, int32_t *type, void *buffer,
                        size_t *size) {
    REQUIRE_EVENT(event, camera);
    EVENT_NEW_BUFFER_DATA data;
    if (!raw || raw_size < sizeof data) return fail(GC_ERR_INVALID_PARAMETER, "expected the data of a new-buffer event");
    memcpy(&data, raw, sizeof data);
    if (command == EVENT_DATA_ID) return answer_pointer((Answer){type, buffer, size}, data.buffer_handle);
    if (command == EVENT_DATA_VALUE) return answer_pointer((Answer){type, buffer, size}, data.user_pointer);
    return fail(GC_ERR_NOT_IMPLEMENTED, "there is no such information about the event's data");
}

GC_API EventGetInfo(void *event, int32_t command, int32_t *type, void *buffer, size_t *size) {
    REQUIRE_EVENT(event, camera);
    Answer answer = {type, buffer, size};
    switch (command) {
    case EVENT_EVENT_TYPE: return answer_int32(answer, EVENT_NEW_BUFFER);
    case EVENT_NUM_IN_QUEUE: return answer_size(answer, camera->filled.length);
    case EVENT_NUM_FIRED: return answer_uint64(answer, camera->events_fired);
    case EVENT_SIZE_MAX:
    case EVENT_INFO_DATA_SIZE_MAX: return answer_size(answer, sizeof(EVENT_NEW_BUFFER_DATA));
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "there is no such information about the event");
    }
}

GC_API EventFlush(void *event) {
    REQUIRE_EVENT(event, camera);
    mutex_lock(&camera->mutex);
    stream_discard_filled(camera);
    mutex_unlock(&camera->mutex);
    return GC_ERR_SUCCESS;
}

GC_API EventKill(void *event) {
    REQUIRE_EVENT(event, camera);
    mutex_lock(&camera->mutex);
    camera->event_killed = true;
    condition_wake_all(&camera->buffers_changed);
    mutex_unlock(&camera->mutex);
    return GC_ERR_SUCCESS;
}
