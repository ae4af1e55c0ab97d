/* Set-up and tear-down, handles, and what the library says of itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "camera.h"

#ifdef _WIN32
#define SEPARATORS "\\/"
#else
#define SEPARATORS "/"
#endif

Camera cameras[MAX_CAMERAS];
size_t camera_count;
char system_handle, interface_handle;

static bool ready, made;

bool library_is_ready(void) { return ready; }

const char *library_path(void) {
    static char path[1024];
    if (!path[0]) own_path(path, sizeof path);
    return path;
}

static const char *library_name(void) {
    const char *name = library_path();
    for (const char *at = name; *at; at++)
        if (strchr(SEPARATORS, *at)) name = at + 1;
    return name;
}

ModuleKind module_of(void *handle, Camera **camera) {
    *camera = NULL;
    if (handle == &system_handle) return MODULE_SYSTEM;
    if (handle == &interface_handle) return MODULE_INTERFACE;
    for (size_t i = 0; i < camera_count; i++) {
        *camera = &cameras[i];
        if (handle == &cameras[i].device_handle) return MODULE_DEVICE;
        if (handle == &cameras[i].remote_handle) return MODULE_REMOTE_DEVICE;
        if (handle == &cameras[i].stream_handle) return MODULE_STREAM;
        if (handle == &cameras[i].event_handle) return MODULE_EVENT;
    }
    *camera = NULL;
    return MODULE_NONE;
}

static size_t cameras_asked_for(void) {
    const char *text = getenv("VIRTUAL_GENTL_CAMERAS");
    long count = text ? strtol(text, NULL, 10) : 2;
    return count < 0 ? 0 : count > MAX_CAMERAS ? MAX_CAMERAS : (size_t)count;
}

/* Once per process: a camera keeps its settings when the library is closed, as a camera on the bench does. */
static void make_cameras(void) {
    for (size_t i = 0; i < MAX_CAMERAS; i++) {
        Camera *camera = &cameras[i];
        snprintf(camera->serial, sizeof camera->serial, "VC%04u", (unsigned)i);
        snprintf(camera->id, sizeof camera->id, "virtual-camera-%u", (unsigned)i);
        camera->bus_lock = NO_FILE_LOCK;
        mutex_init(&camera->mutex);
        condition_init(&camera->buffers_changed);
        condition_init(&camera->control_changed);
        registers_reset(camera);
    }
}

GC_API GCInitLib(void) {
    if (ready) return fail(GC_ERR_RESOURCE_IN_USE, "the library is initialised already");
    if (!made) make_cameras();
    made = ready = true;
    camera_count = cameras_asked_for();
    return GC_ERR_SUCCESS;
}

GC_API GCCloseLib(void) {
    REQUIRE_LIBRARY();
    for (size_t i = 0; i < camera_count; i++) DevClose(&cameras[i].device_handle);
    ready = false;
    return GC_ERR_SUCCESS;
}

static GC_ERROR describe_system(int32_t command, Answer answer) {
    switch (command) {
    case TL_INFO_ID:
    case TL_INFO_PATHNAME: return answer_string(answer, library_path());
    case TL_INFO_NAME: return answer_string(answer, library_name());
    case TL_INFO_VENDOR: return answer_string(answer, VENDOR);
    case TL_INFO_MODEL: return answer_string(answer, MODEL);
    case TL_INFO_VERSION: return answer_string(answer, VERSION);
    case TL_INFO_TLTYPE: return answer_string(answer, TRANSPORT);
    case TL_INFO_DISPLAYNAME: return answer_string(answer, VENDOR " virtual camera producer");
    case TL_INFO_CHAR_ENCODING: return answer_int32(answer, 0);
    case TL_INFO_GENTL_VER_MAJOR: return answer_uint32(answer, 1);
    case TL_INFO_GENTL_VER_MINOR: return answer_uint32(answer, 6);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "there is no such information about the system");
    }
}

GC_API GCGetInfo(int32_t command, int32_t *type, void *buffer, size_t *size) {
    return describe_system(command, (Answer){type, buffer, size}); /* asked before GCInitLib, too */
}

GC_API TLGetInfo(void *system, int32_t command, int32_t *type, void *buffer, size_t *size) {
    REQUIRE_LIBRARY();
    if (system != &system_handle) return fail(GC_ERR_INVALID_HANDLE, "this handle is not the system's");
    return describe_system(command, (Answer){type, buffer, size});
}
