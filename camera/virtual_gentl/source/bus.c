/* The virtual bus. With VIRTUAL_GENTL_BUS naming a folder, all processes that name the same folder see the same
 * cameras, as on a real network: one of them at a time may hold a camera, and an unplugged camera is gone for all.
 * Without it every process has cameras of its own. */
#include <stdio.h>
#include <stdlib.h>

#include "camera.h"

static bool bus_file(const Camera *camera, const char *kind, char *path, size_t size) {
    const char *folder = getenv("VIRTUAL_GENTL_BUS");
    if (!folder || !*folder) return false;
    snprintf(path, size, "%s/%s.%s", folder, camera->serial, kind);
    return true;
}

bool camera_is_plugged_in(Camera *camera) {
    char path[1024];
    uint64_t until = camera->unplugged_until_unix_ns;
    if (bus_file(camera, "unplugged", path, sizeof path)) until = file_read_number(path);
    return unix_ns() >= until;
}

void camera_unplug(Camera *camera, uint32_t for_ms) {
    char path[1024];
    uint64_t until = for_ms == UINT32_MAX ? UINT64_MAX : unix_ns() + (uint64_t)for_ms * 1000000u;
    camera->unplugged_until_unix_ns = until;
    if (bus_file(camera, "unplugged", path, sizeof path)) file_write_number(path, until);
}

bool camera_claim(Camera *camera) {
    char path[1024];
    if (camera->device_open) return false;
    if (bus_file(camera, "lock", path, sizeof path)) {
        camera->bus_lock = file_lock(path);
        if (camera->bus_lock == NO_FILE_LOCK) return false;
    }
    camera->device_open = true;
    return true;
}

void camera_release(Camera *camera) {
    file_unlock(camera->bus_lock);
    camera->bus_lock = NO_FILE_LOCK;
    camera->device_open = false;
}

bool camera_is_held_elsewhere(Camera *camera) {
    char path[1024];
    if (camera->device_open || !bus_file(camera, "lock", path, sizeof path)) return false;
    FileLock lock = file_lock(path);
    if (lock == NO_FILE_LOCK) return true;
    file_unlock(lock);
    return false;
}
