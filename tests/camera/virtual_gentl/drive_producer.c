/* Drives the virtual camera through the GenTL C interface alone, as no binding does on every system.
 *
 * It is linked to the producer and shown a recording of 3 frames of 1024 × 1024 uint8 whose pixels are those of
 * `recorded`. It ends with 0 when all is as it should be, else with 1 and a sentence. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <pthread.h>
#endif

#include "description.h"
#include "gentl.h"

#define SIDE 1024
#define RECORDED_FRAMES 3
#define BUFFERS 64 /* a busy machine may not run this program for a while */
#define TIMEOUT_MS 30000

static void *transport, *interface_, *device, *port, *stream, *event;
static uint8_t *memory[BUFFERS];

static void expect(long long got, long long wanted, const char *what) {
    if (got == wanted) return;
    char sentence[256] = "";
    size_t size = sizeof sentence;
    GC_ERROR code;
    GCGetLastError(&code, sentence, &size);
    printf("expected %s = %lld, got %lld; last error %d: %s\n", what, wanted, got, (int)code, sentence);
    exit(1);
}

#define EXPECT(got, wanted) expect((long long)(got), (long long)(wanted), #got)

static void write_register(uint64_t address, const void *value, size_t size) {
    EXPECT(GCWritePort(port, address, value, &size), GC_ERR_SUCCESS);
}

static void set(uint64_t address, uint32_t value) { write_register(address, &value, sizeof value); }

static void set_rate(double rate_hz) { write_register(ADDRESS_AcquisitionFrameRate, &rate_hz, sizeof rate_hz); }

static uint8_t recorded(uint64_t frame, uint32_t y, uint32_t x) { return (uint8_t)(31 * frame + 7 * y + 3 * x); }

static void open_camera(void) {
    char id[64];
    size_t size = sizeof id;
    uint32_t count = 0;
    EXPECT(GCInitLib(), GC_ERR_SUCCESS);
    EXPECT(TLOpen(&transport), GC_ERR_SUCCESS);
    EXPECT(TLGetInterfaceID(transport, 0, id, &size), GC_ERR_SUCCESS);
    EXPECT(TLOpenInterface(transport, id, &interface_), GC_ERR_SUCCESS);
    EXPECT(IFGetNumDevices(interface_, &count), GC_ERR_SUCCESS);
    EXPECT(count, 2);
    size = sizeof id;
    EXPECT(IFGetDeviceID(interface_, 0, id, &size), GC_ERR_SUCCESS);
    EXPECT(IFOpenDevice(interface_, id, 4, &device), GC_ERR_SUCCESS);
    EXPECT(DevGetPort(device, &port), GC_ERR_SUCCESS);
}

static void check_own_path(void) {
    char path[1024];
    size_t size = sizeof path;
    EXPECT(TLGetInfo(transport, TL_INFO_PATHNAME, NULL, path, &size), GC_ERR_SUCCESS);
    EXPECT(strstr(path, "virtual-camera.cti") != NULL, 1);
    size = sizeof path;
    EXPECT(TLGetInfo(transport, TL_INFO_NAME, NULL, path, &size), GC_ERR_SUCCESS);
    EXPECT(strcmp(path, "virtual-camera.cti"), 0);
}

static void check_description(void) {
    uint64_t address, bytes;
    size_t size = sizeof address;
    EXPECT(GCGetPortURLInfo(port, 0, URL_INFO_FILE_REGISTER_ADDRESS, NULL, &address, &size), GC_ERR_SUCCESS);
    size = sizeof bytes;
    EXPECT(GCGetPortURLInfo(port, 0, URL_INFO_FILE_SIZE, NULL, &bytes, &size), GC_ERR_SUCCESS);
    char *xml = malloc((size_t)bytes);
    size = (size_t)bytes;
    EXPECT(GCReadPort(port, address, xml, &size), GC_ERR_SUCCESS);
    EXPECT(size, bytes);
    EXPECT(memcmp(xml, "<?xml", 5), 0);
    free(xml);
}

static void *fail_elsewhere(void *unused) {
    (void)unused;
    EXPECT(GCReadPort(NULL, 0, NULL, NULL), GC_ERR_INVALID_HANDLE);
    return NULL;
}

#ifdef _WIN32
static DWORD WINAPI fail_in_thread(void *unused) { return fail_elsewhere(unused) != NULL; }
static void fail_in_another_thread(void) {
    HANDLE thread = CreateThread(NULL, 0, fail_in_thread, NULL, 0, NULL);
    WaitForSingleObject(thread, INFINITE);
}
#else
static void fail_in_another_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, fail_elsewhere, NULL);
    pthread_join(thread, NULL);
}
#endif

/* The last error belongs to the thread that made it. */
static void check_last_error_of_each_thread(void) {
    GC_ERROR code;
    char sentence[256];
    size_t size = sizeof sentence;
    EXPECT(TLGetInterfaceID(transport, 7, sentence, &size), GC_ERR_INVALID_INDEX);
    fail_in_another_thread();
    size = sizeof sentence;
    EXPECT(GCGetLastError(&code, sentence, &size), GC_ERR_SUCCESS);
    EXPECT(code, GC_ERR_INVALID_INDEX);
}

static void open_stream(void) {
    char id[64];
    size_t size = sizeof id;
    EXPECT(DevGetDataStreamID(device, 0, id, &size), GC_ERR_SUCCESS);
    EXPECT(DevOpenDataStream(device, id, &stream), GC_ERR_SUCCESS);
    EXPECT(GCRegisterEvent(stream, EVENT_NEW_BUFFER, &event), GC_ERR_SUCCESS);
    for (size_t i = 0; i < BUFFERS; i++) {
        void *buffer;
        memory[i] = malloc(SIDE * SIDE);
        EXPECT(DSAnnounceBuffer(stream, memory[i], SIDE * SIDE, NULL, &buffer), GC_ERR_SUCCESS);
        EXPECT(DSQueueBuffer(stream, buffer), GC_ERR_SUCCESS);
    }
}

static void start(void) {
    EXPECT(DSStartAcquisition(stream, 0, GENTL_INFINITE), GC_ERR_SUCCESS);
    set(ADDRESS_AcquisitionStart, 1);
}

static void stop(void) {
    set(ADDRESS_AcquisitionStop, 1);
    EXPECT(DSStopAcquisition(stream, 0), GC_ERR_SUCCESS);
    EXPECT(DSFlushQueue(stream, ACQ_QUEUE_ALL_TO_INPUT), GC_ERR_SUCCESS);
}

static void ask_buffer(void *buffer, int32_t command, void *answer, size_t size) {
    EXPECT(DSGetBufferInfo(stream, buffer, command, NULL, answer, &size), GC_ERR_SUCCESS);
}

static GC_ERROR wait_for_buffer(uint64_t timeout_ms, void **buffer) {
    EVENT_NEW_BUFFER_DATA data;
    size_t size = sizeof data;
    GC_ERROR error = EventGetData(event, &data, &size, timeout_ms);
    *buffer = error ? NULL : data.buffer_handle;
    return error;
}

/* The next frame's id, after a look at its pixels. */
static uint64_t take_frame(void) {
    void *buffer;
    const uint8_t *pixels;
    uint64_t id;
    bool8_t incomplete;
    EXPECT(wait_for_buffer(TIMEOUT_MS, &buffer), GC_ERR_SUCCESS);
    ask_buffer(buffer, BUFFER_INFO_FRAMEID, &id, sizeof id);
    ask_buffer(buffer, BUFFER_INFO_BASE, &pixels, sizeof pixels);
    ask_buffer(buffer, BUFFER_INFO_IS_INCOMPLETE, &incomplete, sizeof incomplete);
    EXPECT(incomplete, 0);
    for (uint32_t y = 0; y < SIDE; y++)
        for (uint32_t x = 0; x < SIDE; x++)
            if (pixels[y * SIDE + x] != recorded(id % RECORDED_FRAMES, y, x)) EXPECT(y * SIDE + x, -1);
    EXPECT(DSQueueBuffer(stream, buffer), GC_ERR_SUCCESS);
    return id;
}

static void check_frames(void) {
    set_rate(100.0);
    start();
    for (uint64_t id = 0; id < 100; id++) EXPECT(take_frame(), id);
    stop();
}

static void check_dropped_frames(void) {
    set(ADDRESS_FaultDropEvery, 5);
    start();
    for (uint64_t id = 0; id < 20; id++)
        if (id % 5 != 4) EXPECT(take_frame(), id);
    stop();
    set(ADDRESS_FaultDropEvery, 0);
}

static void check_incomplete_frame(void) {
    void *buffer;
    bool8_t incomplete;
    size_t filled;
    set(ADDRESS_FaultIncompleteEvery, 1);
    start();
    EXPECT(wait_for_buffer(TIMEOUT_MS, &buffer), GC_ERR_SUCCESS);
    ask_buffer(buffer, BUFFER_INFO_IS_INCOMPLETE, &incomplete, sizeof incomplete);
    ask_buffer(buffer, BUFFER_INFO_SIZE_FILLED, &filled, sizeof filled);
    EXPECT(incomplete, 1);
    EXPECT(filled, SIDE * SIDE / 2);
    stop();
    set(ADDRESS_FaultIncompleteEvery, 0);
}

static void check_wrapping_ids(void) {
    set(ADDRESS_FaultIdBits, 16);
    set(ADDRESS_FaultIdStart, 65534);
    start();
    void *buffer;
    for (size_t i = 0; i < 3; i++) {
        static const uint64_t ids[] = {65534, 65535, 1};
        uint64_t id;
        EXPECT(wait_for_buffer(TIMEOUT_MS, &buffer), GC_ERR_SUCCESS);
        ask_buffer(buffer, BUFFER_INFO_FRAMEID, &id, sizeof id);
        EXPECT(id, ids[i]);
    }
    stop();
    set(ADDRESS_FaultIdBits, 64);
    set(ADDRESS_FaultIdStart, 0);
}

static void check_trigger(void) {
    void *buffer;
    set(ADDRESS_TriggerMode, 1);
    start();
    EXPECT(wait_for_buffer(50, &buffer), GC_ERR_TIMEOUT);
    set(ADDRESS_TriggerSoftware, 1);
    EXPECT(take_frame(), 0);
    EXPECT(EventKill(event), GC_ERR_SUCCESS);
    EXPECT(wait_for_buffer(TIMEOUT_MS, &buffer), GC_ERR_ABORT);
    stop();
    set(ADDRESS_TriggerMode, 0);
}

static void check_stall(void) {
    void *buffer;
    set(ADDRESS_FaultStallMs, 500);
    start();
    EXPECT(wait_for_buffer(50, &buffer), GC_ERR_TIMEOUT);
    EXPECT(take_frame(), 0);
    stop();
}

/* While this process holds the camera, another one that shares the bus must not get it. */
static void check_lock(const char *own_name) {
    char command[1024];
    snprintf(command, sizeof command, "%s second", own_name);
    fflush(stdout);
    EXPECT(system(command), 0);
}

static int second_process(void) {
    char id[64];
    int32_t status;
    size_t size = sizeof id;
    GCInitLib();
    TLOpen(&transport);
    TLOpenInterface(transport, "virtual-bus", &interface_);
    EXPECT(IFGetDeviceID(interface_, 0, id, &size), GC_ERR_SUCCESS);
    size = sizeof status;
    EXPECT(IFGetDeviceInfo(interface_, id, DEVICE_INFO_ACCESS_STATUS, NULL, &status, &size), GC_ERR_SUCCESS);
    EXPECT(status, DEVICE_ACCESS_STATUS_BUSY);
    EXPECT(IFOpenDevice(interface_, id, 4, &device), GC_ERR_ACCESS_DENIED);
    return 0;
}

static void check_unplugging(void) {
    uint32_t width, count;
    size_t size = sizeof width;
    start();
    EXPECT(take_frame(), 0);
    set(ADDRESS_FaultDisconnectMs, UINT32_MAX); /* for ever */
    EXPECT(GCReadPort(port, ADDRESS_Width, &width, &size), GC_ERR_IO);
    EXPECT(IFGetNumDevices(interface_, &count), GC_ERR_SUCCESS);
    EXPECT(count, 1);
}

static void close_camera(void) {
    EXPECT(DSStopAcquisition(stream, 0), GC_ERR_SUCCESS);
    EXPECT(GCUnregisterEvent(stream, EVENT_NEW_BUFFER), GC_ERR_SUCCESS);
    EXPECT(DSClose(stream), GC_ERR_SUCCESS);
    EXPECT(DevClose(device), GC_ERR_SUCCESS);
    EXPECT(IFClose(interface_), GC_ERR_SUCCESS);
    EXPECT(TLClose(transport), GC_ERR_SUCCESS);
    EXPECT(GCCloseLib(), GC_ERR_SUCCESS);
    for (size_t i = 0; i < BUFFERS; i++) free(memory[i]);
}

int main(int count, char **words) {
    if (count > 1) return second_process();
    open_camera();
    check_own_path();
    check_description();
    check_last_error_of_each_thread();
    check_lock(words[0]);
    open_stream();
    check_frames();
    check_dropped_frames();
    check_incomplete_frame();
    check_wrapping_ids();
    check_trigger();
    check_stall();
    check_unplugging();
    close_camera();
    printf("all as it should be\n");
    return 0;
}
