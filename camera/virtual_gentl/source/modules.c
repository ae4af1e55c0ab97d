/* System, interface and devices: the tree that a client walks down to a camera. */
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "camera.h"

static bool system_open, interface_open;

#define REQUIRE_SYSTEM(handle)                                                                                         \
    do {                                                                                                               \
        REQUIRE_LIBRARY();                                                                                             \
        if ((handle) != &system_handle) return fail(GC_ERR_INVALID_HANDLE, "this handle is not the system's");         \
    } while (0)
#define REQUIRE_INTERFACE(handle)                                                                                      \
    do {                                                                                                               \
        REQUIRE_LIBRARY();                                                                                             \
        if ((handle) != &interface_handle) return fail(GC_ERR_INVALID_HANDLE, "this handle is not the interface's");   \
    } while (0)
#define REQUIRE_DEVICE(handle, camera)                                                                                 \
    do {                                                                                                               \
        REQUIRE_LIBRARY();                                                                                             \
        if (module_of((handle), &(camera)) != MODULE_DEVICE)                                                           \
            return fail(GC_ERR_INVALID_HANDLE, "this handle is no device's");                                          \
    } while (0)

GC_API TLOpen(void **system) {
    REQUIRE_LIBRARY();
    if (!system) return fail(GC_ERR_INVALID_PARAMETER, "expected where to put the handle, got NULL");
    if (system_open) return fail(GC_ERR_RESOURCE_IN_USE, "the system is open already");
    system_open = true;
    *system = &system_handle;
    return GC_ERR_SUCCESS;
}

GC_API TLClose(void *system) {
    REQUIRE_SYSTEM(system);
    system_open = false;
    return GC_ERR_SUCCESS;
}

GC_API TLGetNumInterfaces(void *system, uint32_t *count) {
    REQUIRE_SYSTEM(system);
    *count = 1;
    return GC_ERR_SUCCESS;
}

GC_API TLUpdateInterfaceList(void *system, bool8_t *changed, uint64_t timeout_ms) {
    (void)timeout_ms;
    REQUIRE_SYSTEM(system);
    if (changed) *changed = 1;
    return GC_ERR_SUCCESS;
}

GC_API TLGetInterfaceID(void *system, uint32_t index, char *id, size_t *size) {
    REQUIRE_SYSTEM(system);
    if (index) return fail(GC_ERR_INVALID_INDEX, "there is one interface, of index 0");
    return answer_string((Answer){NULL, id, size}, INTERFACE_ID);
}

static GC_ERROR describe_interface(int32_t command, Answer answer) {
    switch (command) {
    case INTERFACE_INFO_ID: return answer_string(answer, INTERFACE_ID);
    case INTERFACE_INFO_DISPLAYNAME: return answer_string(answer, "Virtual bus");
    case INTERFACE_INFO_TLTYPE: return answer_string(answer, TRANSPORT);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "there is no such information about the interface");
    }
}

GC_API TLGetInterfaceInfo(void *system, const char *id, int32_t command, int32_t *type, void *buffer, size_t *size) {
    REQUIRE_SYSTEM(system);
    if (!id || strcmp(id, INTERFACE_ID) != 0) return fail(GC_ERR_INVALID_ID, "there is no interface of this id");
    return describe_interface(command, (Answer){type, buffer, size});
}

GC_API TLOpenInterface(void *system, const char *id, void **interface_) {
    REQUIRE_SYSTEM(system);
    if (!id || strcmp(id, INTERFACE_ID) != 0) return fail(GC_ERR_INVALID_ID, "there is no interface of this id");
    if (interface_open) return fail(GC_ERR_RESOURCE_IN_USE, "the interface is open already");
    interface_open = true;
    *interface_ = &interface_handle;
    return GC_ERR_SUCCESS;
}

GC_API IFClose(void *interface_) {
    REQUIRE_INTERFACE(interface_);
    interface_open = false;
    return GC_ERR_SUCCESS;
}

GC_API IFGetInfo(void *interface_, int32_t command, int32_t *type, void *buffer, size_t *size) {
    REQUIRE_INTERFACE(interface_);
    return describe_interface(command, (Answer){type, buffer, size});
}

GC_API IFGetParentTL(void *interface_, void **system) {
    REQUIRE_INTERFACE(interface_);
    *system = &system_handle;
    return GC_ERR_SUCCESS;
}

GC_API IFUpdateDeviceList(void *interface_, bool8_t *changed, uint64_t timeout_ms) {
    (void)timeout_ms;
    REQUIRE_INTERFACE(interface_);
    if (changed) *changed = 1;
    return GC_ERR_SUCCESS;
}

GC_API IFGetNumDevices(void *interface_, uint32_t *count) {
    REQUIRE_INTERFACE(interface_);
    *count = 0;
    for (size_t i = 0; i < camera_count; i++) *count += camera_is_plugged_in(&cameras[i]);
    return GC_ERR_SUCCESS;
}

GC_API IFGetDeviceID(void *interface_, uint32_t index, char *id, size_t *size) {
    REQUIRE_INTERFACE(interface_);
    for (size_t i = 0; i < camera_count; i++)
        if (camera_is_plugged_in(&cameras[i]) && index-- == 0)
            return answer_string((Answer){NULL, id, size}, cameras[i].id);
    return fail(GC_ERR_INVALID_INDEX, "there are fewer cameras than that");
}

static Camera *camera_of_id(const char *id) {
    for (size_t i = 0; id && i < camera_count; i++)
        if (strcmp(cameras[i].id, id) == 0) return &cameras[i];
    return NULL;
}

static int32_t access_status(Camera *camera) {
    if (camera->device_open && camera->connection_lost) return DEVICE_ACCESS_STATUS_NOACCESS;
    if (!camera_is_plugged_in(camera)) return DEVICE_ACCESS_STATUS_NOACCESS;
    if (camera->device_open) return DEVICE_ACCESS_STATUS_OPEN_READWRITE;
    return camera_is_held_elsewhere(camera) ? DEVICE_ACCESS_STATUS_BUSY : DEVICE_ACCESS_STATUS_READWRITE;
}

static GC_ERROR describe_device(Camera *camera, int32_t command, Answer answer) {
    char name[128];
    switch (command) {
    case DEVICE_INFO_ID: return answer_string(answer, camera->id);
    case DEVICE_INFO_VENDOR: return answer_string(answer, VENDOR);
    case DEVICE_INFO_MODEL: return answer_string(answer, MODEL);
    case DEVICE_INFO_TLTYPE: return answer_string(answer, TRANSPORT);
    case DEVICE_INFO_DISPLAYNAME:
        snprintf(name, sizeof name, "%s (%s)", MODEL, camera->serial);
        return answer_string(answer, name);
    case DEVICE_INFO_ACCESS_STATUS: return answer_int32(answer, access_status(camera));
    case DEVICE_INFO_USER_DEFINED_NAME: return answer_string(answer, "");
    case DEVICE_INFO_SERIAL_NUMBER: return answer_string(answer, camera->serial);
    case DEVICE_INFO_VERSION: return answer_string(answer, VERSION);
    case DEVICE_INFO_TIMESTAMP_FREQUENCY: return answer_uint64(answer, 1000000000u);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "there is no such information about the device");
    }
}

GC_API IFGetDeviceInfo(void *interface_, const char *id, int32_t command, int32_t *type, void *buffer, size_t *size) {
    REQUIRE_INTERFACE(interface_);
    Camera *camera = camera_of_id(id);
    if (!camera) return fail(GC_ERR_INVALID_ID, "there is no camera of this id");
    return describe_device(camera, command, (Answer){type, buffer, size});
}

GC_API IFOpenDevice(void *interface_, const char *id, int32_t access, void **device) {
    (void)access; /* every opening is an exclusive one */
    REQUIRE_INTERFACE(interface_);
    Camera *camera = camera_of_id(id);
    if (!camera || !camera_is_plugged_in(camera)) return fail(GC_ERR_INVALID_ID, "no camera of this id is plugged in");
    if (camera->device_open) return fail(GC_ERR_RESOURCE_IN_USE, "the camera is open already");
    if (!camera_claim(camera)) return fail(GC_ERR_ACCESS_DENIED, "another process holds the camera");
    if (camera->connection_lost) registers_reset(camera); /* it lost its power, and its settings with it */
    camera->connection_lost = false;
    *device = &camera->device_handle;
    return GC_ERR_SUCCESS;
}

GC_API DevClose(void *device) {
    Camera *camera;
    REQUIRE_DEVICE(device, camera);
    acquisition_stop(camera);
    mutex_lock(&camera->mutex);
    stream_forget_buffers(camera);
    camera->stream_open = camera->event_registered = false;
    camera_release(camera);
    condition_wake_all(&camera->buffers_changed);
    mutex_unlock(&camera->mutex);
    return GC_ERR_SUCCESS;
}

GC_API DevGetInfo(void *device, int32_t command, int32_t *type, void *buffer, size_t *size) {
    Camera *camera;
    REQUIRE_DEVICE(device, camera);
    return describe_device(camera, command, (Answer){type, buffer, size});
}

GC_API DevGetPort(void *device, void **remote_device) {
    Camera *camera;
    REQUIRE_DEVICE(device, camera);
    *remote_device = &camera->remote_handle;
    return GC_ERR_SUCCESS;
}

GC_API DevGetParentIF(void *device, void **interface_) {
    Camera *camera;
    REQUIRE_DEVICE(device, camera);
    *interface_ = &interface_handle;
    return GC_ERR_SUCCESS;
}

GC_API DevGetNumDataStreams(void *device, uint32_t *count) {
    Camera *camera;
    REQUIRE_DEVICE(device, camera);
    *count = 1;
    return GC_ERR_SUCCESS;
}

GC_API DevGetDataStreamID(void *device, uint32_t index, char *id, size_t *size) {
    Camera *camera;
    REQUIRE_DEVICE(device, camera);
    if (index) return fail(GC_ERR_INVALID_INDEX, "there is one stream, of index 0");
    return answer_string((Answer){NULL, id, size}, STREAM_ID);
}

GC_API DevOpenDataStream(void *device, const char *id, void **stream) {
    Camera *camera;
    REQUIRE_DEVICE(device, camera);
    if (!id || strcmp(id, STREAM_ID) != 0) return fail(GC_ERR_INVALID_ID, "there is no stream of this id");
    if (camera->stream_open) return fail(GC_ERR_RESOURCE_IN_USE, "the stream is open already");
    camera->stream_open = true;
    camera->frames_started = camera->frames_delivered = camera->underruns = 0;
    *stream = &camera->stream_handle;
    return GC_ERR_SUCCESS;
}
