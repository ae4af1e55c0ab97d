/* The data stream: a client's buffers on their way from "queued" through the camera to "filled" and back. */
#include <stdlib.h>

#include "answer.h"
#include "camera.h"

#define REQUIRE_STREAM(handle, camera)                                                                                 \
    Camera *camera;                                                                                                    \
    REQUIRE_LIBRARY();                                                                                                 \
    if (module_of((handle), &camera) != MODULE_STREAM) return fail(GC_ERR_INVALID_HANDLE, "this handle is no stream's")

void queue_push(BufferQueue *queue, Buffer *buffer) {
    buffer->next_in_queue = NULL;
    if (queue->tail)
        queue->tail->next_in_queue = buffer;
    else
        queue->head = buffer;
    queue->tail = buffer;
    queue->length++;
}

Buffer *queue_pop(BufferQueue *queue) {
    Buffer *buffer = queue->head;
    if (!buffer) return NULL;
    queue->head = buffer->next_in_queue;
    if (!queue->head) queue->tail = NULL;
    queue->length--;
    return buffer;
}

void wait_until_nothing_fills(Camera *camera) {
    while (camera->filling) condition_wait_until(&camera->buffers_changed, &camera->mutex, UINT64_MAX);
}

static void discard(BufferQueue *queue) {
    Buffer *buffer;
    while ((buffer = queue_pop(queue)) != NULL) buffer->state = BUFFER_IDLE;
}

void stream_discard_filled(Camera *camera) { discard(&camera->filled); }

static void discard_all(Camera *camera) {
    wait_until_nothing_fills(camera);
    discard(&camera->queued);
    discard(&camera->filled);
    if (camera->held_back) camera->held_back->state = BUFFER_IDLE;
    camera->held_back = NULL;
}

static void free_buffer(Buffer *buffer) {
    if (buffer->owns_memory) free(buffer->memory);
    free(buffer);
}

void stream_forget_buffers(Camera *camera) {
    discard_all(camera);
    while (camera->announced) {
        Buffer *buffer = camera->announced;
        camera->announced = buffer->next_announced;
        free_buffer(buffer);
    }
    camera->announced_count = 0;
}

static Buffer *announced_buffer(const Camera *camera, const void *handle) {
    Buffer *buffer = camera->announced;
    while (buffer && buffer != handle) buffer = buffer->next_announced;
    return buffer;
}

static GC_ERROR announce(Camera *camera, void *memory, size_t size, bool owns_memory, void *user_pointer, void **handle) {
    Buffer *buffer = calloc(1, sizeof *buffer);
    if (!buffer) return fail(GC_ERR_OUT_OF_MEMORY, "there is no memory for another buffer");
    buffer->memory = memory;
    buffer->size = size;
    buffer->owns_memory = owns_memory;
    buffer->user_pointer = user_pointer;
    mutex_lock(&camera->mutex);
    buffer->next_announced = camera->announced;
    camera->announced = buffer;
    camera->announced_count++;
    mutex_unlock(&camera->mutex);
    *handle = buffer;
    return GC_ERR_SUCCESS;
}

GC_API DSAnnounceBuffer(void *stream, void *memory, size_t size, void *user_pointer, void **buffer) {
    REQUIRE_STREAM(stream, camera);
    if (!memory || !size || !buffer) return fail(GC_ERR_INVALID_PARAMETER, "expected memory for the buffer, got none");
    return announce(camera, memory, size, false, user_pointer, buffer);
}

GC_API DSAllocAndAnnounceBuffer(void *stream, size_t size, void *user_pointer, void **buffer) {
    REQUIRE_STREAM(stream, camera);
    if (!size || !buffer) return fail(GC_ERR_INVALID_PARAMETER, "expected the size of the buffer, got none");
    void *memory = malloc(size);
    if (!memory) return fail(GC_ERR_OUT_OF_MEMORY, "there is no memory for another buffer");
    GC_ERROR error = announce(camera, memory, size, true, user_pointer, buffer);
    if (error) free(memory);
    return error;
}

GC_API DSRevokeBuffer(void *stream, void *handle, void **memory, void **user_pointer) {
    REQUIRE_STREAM(stream, camera);
    mutex_lock(&camera->mutex);
    Buffer *buffer = announced_buffer(camera, handle);
    if (!buffer || buffer->state != BUFFER_IDLE) {
        mutex_unlock(&camera->mutex);
        return buffer ? fail(GC_ERR_BUSY, "the buffer is queued; flush the queues first")
                      : fail(GC_ERR_INVALID_BUFFER, "this buffer was not announced");
    }
    Buffer **link = &camera->announced;
    while (*link != buffer) link = &(*link)->next_announced;
    *link = buffer->next_announced;
    camera->announced_count--;
    mutex_unlock(&camera->mutex);
    if (memory) *memory = buffer->owns_memory ? NULL : buffer->memory;
    if (user_pointer) *user_pointer = buffer->user_pointer;
    free_buffer(buffer);
    return GC_ERR_SUCCESS;
}

GC_API DSQueueBuffer(void *stream, void *handle) {
    REQUIRE_STREAM(stream, camera);
    GC_ERROR error = GC_ERR_SUCCESS;
    mutex_lock(&camera->mutex);
    Buffer *buffer = announced_buffer(camera, handle);
    if (!buffer) {
        error = fail(GC_ERR_INVALID_BUFFER, "this buffer was not announced");
    } else if (buffer->state != BUFFER_IDLE) {
        error = fail(GC_ERR_RESOURCE_IN_USE, "the buffer is queued already");
    } else {
        buffer->state = BUFFER_QUEUED;
        buffer->has_new_data = false;
        queue_push(&camera->queued, buffer);
    }
    mutex_unlock(&camera->mutex);
    return error;
}

static void queue_all_idle(Camera *camera) {
    for (Buffer *buffer = camera->announced; buffer; buffer = buffer->next_announced)
        if (buffer->state == BUFFER_IDLE) {
            buffer->state = BUFFER_QUEUED;
            queue_push(&camera->queued, buffer);
        }
}

static void queued_to_filled(Camera *camera) {
    Buffer *buffer;
    while ((buffer = queue_pop(&camera->queued)) != NULL) {
        buffer->state = BUFFER_FILLED;
        queue_push(&camera->filled, buffer);
    }
    condition_wake_all(&camera->buffers_changed);
}

GC_API DSFlushQueue(void *stream, int32_t operation) {
    REQUIRE_STREAM(stream, camera);
    GC_ERROR error = GC_ERR_SUCCESS;
    mutex_lock(&camera->mutex);
    switch (operation) {
    case ACQ_QUEUE_INPUT_TO_OUTPUT: queued_to_filled(camera); break;
    case ACQ_QUEUE_OUTPUT_DISCARD: discard(&camera->filled); break;
    case ACQ_QUEUE_ALL_TO_INPUT:
        discard(&camera->filled);
        queue_all_idle(camera);
        break;
    case ACQ_QUEUE_UNQUEUED_TO_INPUT: queue_all_idle(camera); break;
    case ACQ_QUEUE_ALL_DISCARD: discard_all(camera); break;
    default: error = fail(GC_ERR_INVALID_PARAMETER, "there is no such queue operation"); break;
    }
    mutex_unlock(&camera->mutex);
    return error;
}

GC_API DSStartAcquisition(void *stream, int32_t flags, uint64_t frames) {
    (void)flags;
    REQUIRE_STREAM(stream, camera);
    mutex_lock(&camera->mutex);
    bool was_running = camera->stream_running;
    camera->stream_running = true;
    camera->frames_wanted = frames;
    if (!was_running) camera->frames_started = camera->frames_delivered = 0;
    mutex_unlock(&camera->mutex);
    return was_running ? fail(GC_ERR_RESOURCE_IN_USE, "the stream is running already") : GC_ERR_SUCCESS;
}

GC_API DSStopAcquisition(void *stream, int32_t flags) {
    (void)flags;
    REQUIRE_STREAM(stream, camera);
    mutex_lock(&camera->mutex);
    camera->stream_running = false;
    wait_until_nothing_fills(camera);
    mutex_unlock(&camera->mutex);
    return GC_ERR_SUCCESS;
}

GC_API DSClose(void *stream) {
    REQUIRE_STREAM(stream, camera);
    mutex_lock(&camera->mutex);
    camera->stream_running = camera->stream_open = camera->event_registered = false;
    stream_forget_buffers(camera);
    condition_wake_all(&camera->buffers_changed);
    mutex_unlock(&camera->mutex);
    return GC_ERR_SUCCESS;
}

GC_API DSGetParentDev(void *stream, void **device) {
    REQUIRE_STREAM(stream, camera);
    *device = &camera->device_handle;
    return GC_ERR_SUCCESS;
}

GC_API DSGetBufferID(void *stream, uint32_t index, void **handle) {
    REQUIRE_STREAM(stream, camera);
    Buffer *buffer = camera->announced;
    while (buffer && index--) buffer = buffer->next_announced;
    if (!buffer) return fail(GC_ERR_INVALID_INDEX, "fewer buffers are announced than that");
    *handle = buffer;
    return GC_ERR_SUCCESS;
}

static size_t payload_now(Camera *camera) {
    uint32_t bytes = 0;
    registers_read(camera, ADDRESS_PayloadSize, &bytes, sizeof bytes);
    return bytes;
}

GC_API DSGetInfo(void *stream, int32_t command, int32_t *type, void *buffer, size_t *size) {
    REQUIRE_STREAM(stream, camera);
    Answer answer = {type, buffer, size};
    switch (command) {
    case STREAM_INFO_ID: return answer_string(answer, STREAM_ID);
    case STREAM_INFO_NUM_DELIVERED: return answer_uint64(answer, camera->frames_delivered);
    case STREAM_INFO_NUM_UNDERRUN: return answer_uint64(answer, camera->underruns);
    case STREAM_INFO_NUM_ANNOUNCED: return answer_size(answer, camera->announced_count);
    case STREAM_INFO_NUM_QUEUED: return answer_size(answer, camera->queued.length);
    case STREAM_INFO_NUM_AWAIT_DELIVERY: return answer_size(answer, camera->filled.length);
    case STREAM_INFO_NUM_STARTED: return answer_uint64(answer, camera->frames_started);
    case STREAM_INFO_PAYLOAD_SIZE: return answer_size(answer, payload_now(camera));
    case STREAM_INFO_IS_GRABBING: return answer_bool(answer, camera->stream_running);
    case STREAM_INFO_DEFINES_PAYLOADSIZE: return answer_bool(answer, 1);
    case STREAM_INFO_TLTYPE: return answer_string(answer, TRANSPORT);
    case STREAM_INFO_NUM_CHUNKS_MAX: return answer_size(answer, 0);
    case STREAM_INFO_BUF_ANNOUNCE_MIN:
    case STREAM_INFO_BUF_ALIGNMENT: return answer_size(answer, 1);
    default: return fail(GC_ERR_NOT_AVAILABLE, "there is no such information about the stream");
    }
}

static GC_ERROR describe_buffer(const Buffer *buffer, int32_t command, Answer answer) {
    switch (command) {
    case BUFFER_INFO_BASE: return answer_pointer(answer, buffer->memory);
    case BUFFER_INFO_SIZE: return answer_size(answer, buffer->size);
    case BUFFER_INFO_USER_PTR: return answer_pointer(answer, buffer->user_pointer);
    case BUFFER_INFO_TIMESTAMP:
    case BUFFER_INFO_TIMESTAMP_NS: return answer_uint64(answer, buffer->timestamp_ns);
    case BUFFER_INFO_NEW_DATA: return answer_bool(answer, buffer->has_new_data);
    case BUFFER_INFO_IS_QUEUED: return answer_bool(answer, buffer->state != BUFFER_IDLE);
    case BUFFER_INFO_IS_ACQUIRING: return answer_bool(answer, buffer->state == BUFFER_FILLING);
    case BUFFER_INFO_IS_INCOMPLETE: return answer_bool(answer, buffer->is_incomplete);
    case BUFFER_INFO_TLTYPE: return answer_string(answer, TRANSPORT);
    case BUFFER_INFO_SIZE_FILLED:
    case BUFFER_INFO_DATA_SIZE: return answer_size(answer, buffer->filled);
    case BUFFER_INFO_WIDTH: return answer_size(answer, buffer->geometry.width);
    case BUFFER_INFO_HEIGHT:
    case BUFFER_INFO_DELIVERED_IMAGEHEIGHT: return answer_size(answer, buffer->geometry.height);
    case BUFFER_INFO_XOFFSET: return answer_size(answer, buffer->geometry.offset_x);
    case BUFFER_INFO_YOFFSET: return answer_size(answer, buffer->geometry.offset_y);
    case BUFFER_INFO_XPADDING:
    case BUFFER_INFO_YPADDING:
    case BUFFER_INFO_IMAGEOFFSET: return answer_size(answer, 0);
    case BUFFER_INFO_FRAMEID: return answer_uint64(answer, buffer->frame_id);
    case BUFFER_INFO_IMAGEPRESENT: return answer_bool(answer, 1);
    case BUFFER_INFO_PAYLOADTYPE: return answer_size(answer, PAYLOAD_TYPE_IMAGE);
    case BUFFER_INFO_PIXELFORMAT: return answer_uint64(answer, buffer->geometry.pixel_format);
    case BUFFER_INFO_PIXELFORMAT_NAMESPACE: return answer_uint64(answer, PIXELFORMAT_NAMESPACE_PFNC_32BIT);
    case BUFFER_INFO_PIXEL_ENDIANNESS: return answer_int32(answer, PIXELENDIANNESS_LITTLE);
    case BUFFER_INFO_DATA_LARGER_THAN_BUFFER:
    case BUFFER_INFO_CONTAINS_CHUNKDATA:
    case BUFFER_INFO_IS_COMPOSITE: return answer_bool(answer, 0);
    default: return fail(GC_ERR_NOT_AVAILABLE, "there is no such information about the buffer");
    }
}

GC_API DSGetBufferInfo(void *stream, void *handle, int32_t command, int32_t *type, void *data, size_t *size) {
    REQUIRE_STREAM(stream, camera);
    mutex_lock(&camera->mutex);
    Buffer *buffer = announced_buffer(camera, handle);
    GC_ERROR error = buffer ? describe_buffer(buffer, command, (Answer){type, data, size})
                            : fail(GC_ERR_INVALID_BUFFER, "this buffer was not announced");
    mutex_unlock(&camera->mutex);
    return error;
}
