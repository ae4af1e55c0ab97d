/* The register memory of the remote device. Which addresses exist and what may be written stands in device.xml, from
 * which build.py makes `register_rules` and the ADDRESS_ names. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "camera.h"

#define SENSOR_DEFAULT 1024
#define SENSOR_LARGEST 16384
#define LARGEST_BINNING 4u
#define WIDTH_STEP 4 /* so that a row fills whole bytes in every packed format */

uint32_t register_u32(const Camera *camera, uint32_t address) {
    uint32_t value;
    memcpy(&value, camera->registers + address, sizeof value);
    return value;
}

uint64_t register_u64(const Camera *camera, uint32_t address) {
    uint64_t value;
    memcpy(&value, camera->registers + address, sizeof value);
    return value;
}

double register_f64(const Camera *camera, uint32_t address) {
    double value;
    memcpy(&value, camera->registers + address, sizeof value);
    return value;
}

static void set_u32(Camera *camera, uint32_t address, uint32_t value) {
    memcpy(camera->registers + address, &value, sizeof value);
}

static void set_f64(Camera *camera, uint32_t address, double value) {
    memcpy(camera->registers + address, &value, sizeof value);
}

static void set_text(Camera *camera, uint32_t address, size_t room, const char *text) {
    memset(camera->registers + address, 0, room);
    strncpy((char *)camera->registers + address, text, room - 1);
}

static const char *source_of(const Camera *camera) { return (const char *)camera->registers + ADDRESS_VirtualSource; }

static uint32_t clamp(uint32_t value, uint32_t lowest, uint32_t highest) {
    return value < lowest ? lowest : value > highest ? highest : value;
}

static uint32_t sensor_side(const char *text, int which) {
    uint32_t side = SENSOR_DEFAULT;
    if (text && which == 1) text = strchr(text, 'x') ? strchr(text, 'x') + 1 : NULL;
    if (text) side = (uint32_t)strtoul(text, NULL, 10);
    return clamp(side / WIDTH_STEP * WIDTH_STEP, 16, SENSOR_LARGEST);
}

/* The sensor is as large as what it shows; a new picture opens at its full size. */
static void show_source(Camera *camera) {
    const char *sensor = getenv("VIRTUAL_GENTL_SENSOR"); /* WIDTHxHEIGHT, of the pattern */
    scene_close(&camera->scene);
    scene_open(&camera->scene, source_of(camera), sensor_side(sensor, 0), sensor_side(sensor, 1));
    uint32_t width = camera->scene.width / WIDTH_STEP * WIDTH_STEP;
    set_u32(camera, ADDRESS_SensorWidth, width);
    set_u32(camera, ADDRESS_SensorHeight, camera->scene.height);
    set_u32(camera, ADDRESS_BinningHorizontal, 1);
    set_u32(camera, ADDRESS_BinningVertical, 1);
    set_u32(camera, ADDRESS_Width, width);
    set_u32(camera, ADDRESS_Height, camera->scene.height);
    set_u32(camera, ADDRESS_OffsetX, 0);
    set_u32(camera, ADDRESS_OffsetY, 0);
}

void registers_reset(Camera *camera) {
    const char *source = getenv("VIRTUAL_GENTL_SOURCE");
    memset(camera->registers, 0, sizeof camera->registers);
    set_text(camera, ADDRESS_DeviceVendorName, 64, VENDOR);
    set_text(camera, ADDRESS_DeviceModelName, 64, MODEL);
    set_text(camera, ADDRESS_DeviceVersion, 64, VERSION);
    set_text(camera, ADDRESS_DeviceSerialNumber, 64, camera->serial);
    set_text(camera, ADDRESS_VirtualSource, 512, source ? source : "");
    set_u32(camera, ADDRESS_PixelFormat, PixelFormat_Mono8);
    set_u32(camera, ADDRESS_AcquisitionFrameCount, 1);
    set_f64(camera, ADDRESS_AcquisitionFrameRate, 100.0);
    set_f64(camera, ADDRESS_ExposureTime, 1000.0);
    set_u32(camera, ADDRESS_FaultIdBits, 64);
    scene_close(&camera->scene); /* opened when a client first asks: most processes use one camera of several */
}

Geometry geometry_of(const Camera *camera) {
    Geometry window;
    window.binning_x = clamp(register_u32(camera, ADDRESS_BinningHorizontal), 1, LARGEST_BINNING);
    window.binning_y = clamp(register_u32(camera, ADDRESS_BinningVertical), 1, LARGEST_BINNING);
    uint32_t sensor_width = register_u32(camera, ADDRESS_SensorWidth) / window.binning_x / WIDTH_STEP * WIDTH_STEP;
    uint32_t sensor_height = register_u32(camera, ADDRESS_SensorHeight) / window.binning_y;
    window.width = clamp(register_u32(camera, ADDRESS_Width) / WIDTH_STEP * WIDTH_STEP, WIDTH_STEP, sensor_width);
    window.height = clamp(register_u32(camera, ADDRESS_Height), 1, sensor_height);
    window.offset_x = clamp(register_u32(camera, ADDRESS_OffsetX), 0, sensor_width - window.width);
    window.offset_y = clamp(register_u32(camera, ADDRESS_OffsetY), 0, sensor_height - window.height);
    window.pixel_format = register_u32(camera, ADDRESS_PixelFormat);
    return window;
}

static bool overlaps(uint64_t address, size_t size, uint32_t of) { return address <= of && of < address + size; }

/* The warmth of a sensor that has settled: 38 °C and half a degree of slow swing. */
static double temperature_c(void) { return 38.0 + 0.5 * sin((double)(monotonic_ns() / 1000000u) / 60000.0); }

/* Without the mutex: a slow camera goes on exposing. */
static void take_time(Camera *camera) {
    mutex_lock(&camera->mutex);
    uint32_t answer_ms = register_u32(camera, ADDRESS_FaultAnswerMs);
    mutex_unlock(&camera->mutex);
    if (answer_ms) sleep_until_ns(monotonic_ns() + (uint64_t)answer_ms * 1000000u);
}

GC_ERROR registers_read(Camera *camera, uint64_t address, void *buffer, size_t size) {
    if (address >= REGISTER_BYTES || size > REGISTER_BYTES - address)
        return fail(GC_ERR_INVALID_ADDRESS, "there is no register at this address");
    take_time(camera);
    mutex_lock(&camera->mutex);
    GC_ERROR error = GC_ERR_SUCCESS;
    if (camera->connection_lost) error = fail(GC_ERR_IO, "the camera is unplugged");
    if (!error) {
        if (!camera->scene.pixels) show_source(camera);
        if (overlaps(address, size, ADDRESS_PayloadSize))
            set_u32(camera, ADDRESS_PayloadSize, (uint32_t)payload_bytes(geometry_of(camera)));
        if (overlaps(address, size, ADDRESS_DeviceTemperature))
            set_f64(camera, ADDRESS_DeviceTemperature, temperature_c());
        memcpy(buffer, camera->registers + address, size);
    }
    mutex_unlock(&camera->mutex);
    return error;
}

static const RegisterRule *rule_for(uint64_t address, size_t size) {
    for (size_t i = 0; i < register_rule_count; i++) {
        const RegisterRule *rule = &register_rules[i];
        if (address >= rule->address && address + size <= (uint64_t)rule->address + rule->size) return rule;
    }
    return NULL;
}

static GC_ERROR store(Camera *camera, uint64_t address, const void *buffer, size_t size) {
    const RegisterRule *rule = rule_for(address, size);
    if (!rule) return fail(GC_ERR_INVALID_ADDRESS, "there is no register at this address");
    if (!rule->writable) return fail(GC_ERR_ACCESS_DENIED, "this register can only be read");
    if (camera->connection_lost) return fail(GC_ERR_IO, "the camera is unplugged");
    if (!camera->scene.pixels) show_source(camera);
    if (rule->locked_while_exposing && camera->exposing)
        return fail(GC_ERR_ACCESS_DENIED, "this register is locked while the camera acquires");
    memcpy(camera->registers + address, buffer, size);
    return GC_ERR_SUCCESS;
}

static void disconnect(Camera *camera, uint32_t for_ms) {
    if (!for_ms) return;
    camera_unplug(camera, for_ms);
    mutex_lock(&camera->mutex);
    camera->connection_lost = true;
    mutex_unlock(&camera->mutex);
}

/* What writing a register sets off. The mutex is free: most of this takes it, or joins the camera's thread. */
static GC_ERROR act(Camera *camera, uint64_t address) {
    uint64_t now_ns = monotonic_ns();
    uint32_t value = register_u32(camera, (uint32_t)address);
    switch (address) {
    case ADDRESS_AcquisitionStart: return acquisition_start(camera);
    case ADDRESS_AcquisitionStop: acquisition_stop(camera); break;
    case ADDRESS_TriggerSoftware: acquisition_trigger(camera, TriggerSource_Software); break;
    case ADDRESS_VirtualLinePulse: acquisition_trigger(camera, TriggerSource_Line1); break;
    case ADDRESS_VirtualSource:
        mutex_lock(&camera->mutex);
        show_source(camera);
        mutex_unlock(&camera->mutex);
        break;
    case ADDRESS_TimestampLatch:
        memcpy(camera->registers + ADDRESS_TimestampLatchValue, &now_ns, sizeof now_ns);
        break;
    case ADDRESS_FaultDisconnectMs: disconnect(camera, value); break;
    case ADDRESS_FaultHangMs: camera->hang_until_ns = now_ns + (uint64_t)value * 1000000u; break;
    case ADDRESS_FaultCrash: abort(); /* as a driver with a fault in it takes its process along */
    default: break;
    }
    return GC_ERR_SUCCESS;
}

GC_ERROR registers_write(Camera *camera, uint64_t address, const void *buffer, size_t size) {
    mutex_lock(&camera->mutex);
    GC_ERROR error = store(camera, address, buffer, size);
    mutex_unlock(&camera->mutex);
    return error ? error : act(camera, address);
}
