/* The part of the GenTL 1.6 binary interface (EMVA, 2019) that a producer implements, declared from the standard's
 * text: types, error codes, command numbers and exported functions. Numbers are those of the standard. */
#ifndef VIRTUAL_GENTL_GENTL_H
#define VIRTUAL_GENTL_GENTL_H

#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define GC_API __declspec(dllexport) GC_ERROR __stdcall
#else
#define GC_API __attribute__((visibility("default"))) GC_ERROR
#endif

typedef int32_t GC_ERROR;
typedef uint8_t bool8_t;

#define GENTL_INFINITE UINT64_MAX

enum {
    GC_ERR_SUCCESS = 0,
    GC_ERR_ERROR = -1001,
    GC_ERR_NOT_INITIALIZED = -1002,
    GC_ERR_NOT_IMPLEMENTED = -1003,
    GC_ERR_RESOURCE_IN_USE = -1004,
    GC_ERR_ACCESS_DENIED = -1005,
    GC_ERR_INVALID_HANDLE = -1006,
    GC_ERR_INVALID_ID = -1007,
    GC_ERR_NO_DATA = -1008,
    GC_ERR_INVALID_PARAMETER = -1009,
    GC_ERR_IO = -1010,
    GC_ERR_TIMEOUT = -1011,
    GC_ERR_ABORT = -1012,
    GC_ERR_INVALID_BUFFER = -1013,
    GC_ERR_NOT_AVAILABLE = -1014,
    GC_ERR_INVALID_ADDRESS = -1015,
    GC_ERR_BUFFER_TOO_SMALL = -1016,
    GC_ERR_INVALID_INDEX = -1017,
    GC_ERR_INVALID_VALUE = -1019,
    GC_ERR_RESOURCE_EXHAUSTED = -1020,
    GC_ERR_OUT_OF_MEMORY = -1021,
    GC_ERR_BUSY = -1022
};

enum InfoType {
    INFO_STRING = 1,
    INFO_INT32 = 5,
    INFO_UINT32 = 6,
    INFO_UINT64 = 8,
    INFO_POINTER = 10,
    INFO_BOOL8 = 11,
    INFO_SIZE = 12
};

enum TlInfo {
    TL_INFO_ID = 0,
    TL_INFO_VENDOR,
    TL_INFO_MODEL,
    TL_INFO_VERSION,
    TL_INFO_TLTYPE,
    TL_INFO_NAME,
    TL_INFO_PATHNAME,
    TL_INFO_DISPLAYNAME,
    TL_INFO_CHAR_ENCODING,
    TL_INFO_GENTL_VER_MAJOR,
    TL_INFO_GENTL_VER_MINOR
};

enum InterfaceInfo { INTERFACE_INFO_ID = 0, INTERFACE_INFO_DISPLAYNAME, INTERFACE_INFO_TLTYPE };

enum DeviceInfo {
    DEVICE_INFO_ID = 0,
    DEVICE_INFO_VENDOR,
    DEVICE_INFO_MODEL,
    DEVICE_INFO_TLTYPE,
    DEVICE_INFO_DISPLAYNAME,
    DEVICE_INFO_ACCESS_STATUS,
    DEVICE_INFO_USER_DEFINED_NAME,
    DEVICE_INFO_SERIAL_NUMBER,
    DEVICE_INFO_VERSION,
    DEVICE_INFO_TIMESTAMP_FREQUENCY
};

enum DeviceAccessStatus {
    DEVICE_ACCESS_STATUS_READWRITE = 1,
    DEVICE_ACCESS_STATUS_NOACCESS = 3,
    DEVICE_ACCESS_STATUS_BUSY = 4,
    DEVICE_ACCESS_STATUS_OPEN_READWRITE = 5
};

enum StreamInfo {
    STREAM_INFO_ID = 0,
    STREAM_INFO_NUM_DELIVERED,
    STREAM_INFO_NUM_UNDERRUN,
    STREAM_INFO_NUM_ANNOUNCED,
    STREAM_INFO_NUM_QUEUED,
    STREAM_INFO_NUM_AWAIT_DELIVERY,
    STREAM_INFO_NUM_STARTED,
    STREAM_INFO_PAYLOAD_SIZE,
    STREAM_INFO_IS_GRABBING,
    STREAM_INFO_DEFINES_PAYLOADSIZE,
    STREAM_INFO_TLTYPE,
    STREAM_INFO_NUM_CHUNKS_MAX,
    STREAM_INFO_BUF_ANNOUNCE_MIN,
    STREAM_INFO_BUF_ALIGNMENT
};

enum BufferInfo {
    BUFFER_INFO_BASE = 0,
    BUFFER_INFO_SIZE,
    BUFFER_INFO_USER_PTR,
    BUFFER_INFO_TIMESTAMP,
    BUFFER_INFO_NEW_DATA,
    BUFFER_INFO_IS_QUEUED,
    BUFFER_INFO_IS_ACQUIRING,
    BUFFER_INFO_IS_INCOMPLETE,
    BUFFER_INFO_TLTYPE,
    BUFFER_INFO_SIZE_FILLED,
    BUFFER_INFO_WIDTH,
    BUFFER_INFO_HEIGHT,
    BUFFER_INFO_XOFFSET,
    BUFFER_INFO_YOFFSET,
    BUFFER_INFO_XPADDING,
    BUFFER_INFO_YPADDING,
    BUFFER_INFO_FRAMEID,
    BUFFER_INFO_IMAGEPRESENT,
    BUFFER_INFO_IMAGEOFFSET,
    BUFFER_INFO_PAYLOADTYPE,
    BUFFER_INFO_PIXELFORMAT,
    BUFFER_INFO_PIXELFORMAT_NAMESPACE,
    BUFFER_INFO_DELIVERED_IMAGEHEIGHT,
    BUFFER_INFO_PIXEL_ENDIANNESS = 26,
    BUFFER_INFO_DATA_SIZE,
    BUFFER_INFO_TIMESTAMP_NS,
    BUFFER_INFO_DATA_LARGER_THAN_BUFFER,
    BUFFER_INFO_CONTAINS_CHUNKDATA,
    BUFFER_INFO_IS_COMPOSITE
};

enum { PAYLOAD_TYPE_IMAGE = 1, PIXELFORMAT_NAMESPACE_PFNC_32BIT = 4, PIXELENDIANNESS_LITTLE = 1 };

enum QueueOperation {
    ACQ_QUEUE_INPUT_TO_OUTPUT = 0,
    ACQ_QUEUE_OUTPUT_DISCARD,
    ACQ_QUEUE_ALL_TO_INPUT,
    ACQ_QUEUE_UNQUEUED_TO_INPUT,
    ACQ_QUEUE_ALL_DISCARD
};

enum EventType { EVENT_NEW_BUFFER = 1 };

enum EventInfo {
    EVENT_EVENT_TYPE = 0,
    EVENT_NUM_IN_QUEUE,
    EVENT_NUM_FIRED,
    EVENT_SIZE_MAX,
    EVENT_INFO_DATA_SIZE_MAX
};

enum EventDataInfo { EVENT_DATA_ID = 0, EVENT_DATA_VALUE };

enum PortInfo {
    PORT_INFO_ID = 0,
    PORT_INFO_VENDOR,
    PORT_INFO_MODEL,
    PORT_INFO_TLTYPE,
    PORT_INFO_MODULE,
    PORT_INFO_LITTLE_ENDIAN,
    PORT_INFO_BIG_ENDIAN,
    PORT_INFO_ACCESS_READ,
    PORT_INFO_ACCESS_WRITE,
    PORT_INFO_ACCESS_NA,
    PORT_INFO_ACCESS_NI,
    PORT_INFO_VERSION,
    PORT_INFO_PORTNAME
};

enum UrlInfo {
    URL_INFO_URL = 0,
    URL_INFO_SCHEMA_VER_MAJOR,
    URL_INFO_SCHEMA_VER_MINOR,
    URL_INFO_FILE_VER_MAJOR,
    URL_INFO_FILE_VER_MINOR,
    URL_INFO_FILE_VER_SUBMINOR,
    URL_INFO_FILE_REGISTER_ADDRESS = 7,
    URL_INFO_FILE_SIZE,
    URL_INFO_SCHEME,
    URL_INFO_FILENAME
};

#pragma pack(push, 1)
typedef struct {
    void *buffer_handle;
    void *user_pointer;
} EVENT_NEW_BUFFER_DATA;

typedef struct {
    uint64_t address;
    void *data;
    size_t size;
} PORT_REGISTER_STACK_ENTRY;
#pragma pack(pop)

GC_API GCInitLib(void);
GC_API GCCloseLib(void);
GC_API GCGetInfo(int32_t command, int32_t *type, void *buffer, size_t *size);
GC_API GCGetLastError(GC_ERROR *code, char *text, size_t *size);

GC_API GCReadPort(void *port, uint64_t address, void *buffer, size_t *size);
GC_API GCWritePort(void *port, uint64_t address, const void *buffer, size_t *size);
GC_API GCReadPortStacked(void *port, PORT_REGISTER_STACK_ENTRY *entries, size_t *count);
GC_API GCWritePortStacked(void *port, PORT_REGISTER_STACK_ENTRY *entries, size_t *count);
GC_API GCGetPortURL(void *port, char *url, size_t *size);
GC_API GCGetNumPortURLs(void *port, uint32_t *count);
GC_API GCGetPortURLInfo(void *port, uint32_t index, int32_t command, int32_t *type, void *buffer, size_t *size);
GC_API GCGetPortInfo(void *port, int32_t command, int32_t *type, void *buffer, size_t *size);

GC_API GCRegisterEvent(void *source, int32_t event_type, void **event);
GC_API GCUnregisterEvent(void *source, int32_t event_type);
GC_API EventGetData(void *event, void *buffer, size_t *size, uint64_t timeout_ms);
GC_API EventGetDataInfo(void *event, const void *data, size_t data_size, int32_t command, int32_t *type, void *buffer,
                        size_t *size);
GC_API EventGetInfo(void *event, int32_t command, int32_t *type, void *buffer, size_t *size);
GC_API EventFlush(void *event);
GC_API EventKill(void *event);

GC_API TLOpen(void **system);
GC_API TLClose(void *system);
GC_API TLGetInfo(void *system, int32_t command, int32_t *type, void *buffer, size_t *size);
GC_API TLGetNumInterfaces(void *system, uint32_t *count);
GC_API TLGetInterfaceID(void *system, uint32_t index, char *id, size_t *size);
GC_API TLGetInterfaceInfo(void *system, const char *id, int32_t command, int32_t *type, void *buffer, size_t *size);
GC_API TLOpenInterface(void *system, const char *id, void **interface_);
GC_API TLUpdateInterfaceList(void *system, bool8_t *changed, uint64_t timeout_ms);

GC_API IFClose(void *interface_);
GC_API IFGetInfo(void *interface_, int32_t command, int32_t *type, void *buffer, size_t *size);
GC_API IFGetNumDevices(void *interface_, uint32_t *count);
GC_API IFGetDeviceID(void *interface_, uint32_t index, char *id, size_t *size);
GC_API IFUpdateDeviceList(void *interface_, bool8_t *changed, uint64_t timeout_ms);
GC_API IFGetDeviceInfo(void *interface_, const char *id, int32_t command, int32_t *type, void *buffer, size_t *size);
GC_API IFOpenDevice(void *interface_, const char *id, int32_t access, void **device);
GC_API IFGetParentTL(void *interface_, void **system);

GC_API DevClose(void *device);
GC_API DevGetInfo(void *device, int32_t command, int32_t *type, void *buffer, size_t *size);
GC_API DevGetPort(void *device, void **remote_device);
GC_API DevGetNumDataStreams(void *device, uint32_t *count);
GC_API DevGetDataStreamID(void *device, uint32_t index, char *id, size_t *size);
GC_API DevOpenDataStream(void *device, const char *id, void **stream);
GC_API DevGetParentIF(void *device, void **interface_);

GC_API DSClose(void *stream);
GC_API DSGetInfo(void *stream, int32_t command, int32_t *type, void *buffer, size_t *size);
GC_API DSAnnounceBuffer(void *stream, void *memory, size_t size, void *user_pointer, void **buffer);
GC_API DSAllocAndAnnounceBuffer(void *stream, size_t size, void *user_pointer, void **buffer);
GC_API DSRevokeBuffer(void *stream, void *buffer, void **memory, void **user_pointer);
GC_API DSQueueBuffer(void *stream, void *buffer);
GC_API DSFlushQueue(void *stream, int32_t operation);
GC_API DSStartAcquisition(void *stream, int32_t flags, uint64_t frames);
GC_API DSStopAcquisition(void *stream, int32_t flags);
GC_API DSGetBufferID(void *stream, uint32_t index, void **buffer);
GC_API DSGetBufferInfo(void *stream, void *buffer, int32_t command, int32_t *type, void *data, size_t *size);
GC_API DSGetParentDev(void *stream, void **device);

#endif
