/* Ports: register access, and the XML that describes each module's features. */
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "camera.h"

#define XML_ADDRESS 0x100000u /* above all registers */

/* Every module's port must offer a description; only the remote device's says anything of interest. */
#define SMALL_XML(model, port, feature, value, guid)                                                                   \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"                                                                       \
    "<RegisterDescription ModelName=\"" model "\" VendorName=\"qpi-live\" StandardNameSpace=\"None\" "                 \
    "SchemaMajorVersion=\"1\" SchemaMinorVersion=\"1\" SchemaSubMinorVersion=\"0\" "                                   \
    "MajorVersion=\"1\" MinorVersion=\"0\" SubMinorVersion=\"0\" "                                                     \
    "ProductGuid=\"" guid "\" VersionGuid=\"" guid "\" "                                                               \
    "xmlns=\"http://www.genicam.org/GenApi/Version_1_1\">"                                                             \
    "<Category Name=\"Root\" NameSpace=\"Standard\"><pFeature>" feature "</pFeature></Category>"                       \
    "<String Name=\"" feature "\" NameSpace=\"Standard\"><Value>" value "</Value></String>"                            \
    "<Port Name=\"" port "\"/></RegisterDescription>"

static const char system_xml[] = SMALL_XML("VirtualSystem", "TLPort", "TLModelName", "Virtual off-axis camera",
                                           "2f0c1e52-8f5d-4d0b-9a57-30ce1a6b7e01");
static const char interface_xml[] = SMALL_XML("VirtualInterface", "InterfacePort", "InterfaceID", "virtual-bus",
                                              "2f0c1e52-8f5d-4d0b-9a57-30ce1a6b7e02");
static const char device_module_xml[] = SMALL_XML("VirtualDevice", "DevicePort", "DeviceModelName",
                                                  "Virtual off-axis camera", "2f0c1e52-8f5d-4d0b-9a57-30ce1a6b7e03");
static const char stream_xml[] =
    SMALL_XML("VirtualStream", "StreamPort", "StreamID", "stream-0", "2f0c1e52-8f5d-4d0b-9a57-30ce1a6b7e04");

typedef struct {
    ModuleKind kind;
    Camera *camera;
    const char *id, *module, *name;
    const void *xml;
    size_t xml_size;
} PortFacts;

static bool port_of(void *handle, PortFacts *port) {
    port->kind = module_of(handle, &port->camera);
    const char *camera_id = port->camera ? port->camera->id : "";
    switch (port->kind) {
    case MODULE_SYSTEM:
        *port = (PortFacts){port->kind, NULL, library_path(), "TLSystem", "TLPort", system_xml, sizeof system_xml - 1};
        return true;
    case MODULE_INTERFACE:
        *port = (PortFacts){port->kind,      NULL,          INTERFACE_ID,            "TLInterface",
                            "InterfacePort", interface_xml, sizeof interface_xml - 1};
        return true;
    case MODULE_DEVICE:
        *port = (PortFacts){port->kind,   port->camera,      camera_id,                   "TLDevice",
                            "DevicePort", device_module_xml, sizeof device_module_xml - 1};
        return true;
    case MODULE_REMOTE_DEVICE:
        *port = (PortFacts){port->kind, port->camera, camera_id, "Device", "Device", device_xml, device_xml_size};
        return true;
    case MODULE_STREAM:
        *port = (PortFacts){port->kind,   port->camera, STREAM_ID,            "TLDataStream",
                            "StreamPort", stream_xml,   sizeof stream_xml - 1};
        return true;
    default: return false;
    }
}

#define REQUIRE_PORT(handle, port)                                                                                     \
    PortFacts port;                                                                                                    \
    REQUIRE_LIBRARY();                                                                                                 \
    if (!port_of((handle), &port)) return fail(GC_ERR_INVALID_HANDLE, "this handle has no port")

GC_API GCReadPort(void *handle, uint64_t address, void *buffer, size_t *size) {
    REQUIRE_PORT(handle, port);
    if (!buffer || !size) return fail(GC_ERR_INVALID_PARAMETER, "expected a buffer and its size, got NULL");
    if (address >= XML_ADDRESS) {
        uint64_t offset = address - XML_ADDRESS;
        if (offset >= port.xml_size) return fail(GC_ERR_INVALID_ADDRESS, "the description ends before this address");
        if (*size > port.xml_size - offset) *size = port.xml_size - (size_t)offset;
        memcpy(buffer, (const char *)port.xml + offset, *size);
        return GC_ERR_SUCCESS;
    }
    if (port.kind != MODULE_REMOTE_DEVICE) return fail(GC_ERR_INVALID_ADDRESS, "this module has no registers");
    return registers_read(port.camera, address, buffer, *size);
}

GC_API GCWritePort(void *handle, uint64_t address, const void *buffer, size_t *size) {
    REQUIRE_PORT(handle, port);
    if (!buffer || !size) return fail(GC_ERR_INVALID_PARAMETER, "expected a buffer and its size, got NULL");
    if (port.kind != MODULE_REMOTE_DEVICE) return fail(GC_ERR_INVALID_ADDRESS, "this module has no registers");
    return registers_write(port.camera, address, buffer, *size);
}

GC_API GCReadPortStacked(void *handle, PORT_REGISTER_STACK_ENTRY *entries, size_t *count) {
    for (size_t i = 0; i < *count; i++) {
        size_t size = entries[i].size;
        GC_ERROR error = GCReadPort(handle, entries[i].address, entries[i].data, &size);
        if (error) {
            *count = i; /* how many were read */
            return error;
        }
    }
    return GC_ERR_SUCCESS;
}

GC_API GCWritePortStacked(void *handle, PORT_REGISTER_STACK_ENTRY *entries, size_t *count) {
    for (size_t i = 0; i < *count; i++) {
        size_t size = entries[i].size;
        GC_ERROR error = GCWritePort(handle, entries[i].address, entries[i].data, &size);
        if (error) {
            *count = i; /* how many were written */
            return error;
        }
    }
    return GC_ERR_SUCCESS;
}

GC_API GCGetPortInfo(void *handle, int32_t command, int32_t *type, void *buffer, size_t *size) {
    REQUIRE_PORT(handle, port);
    Answer answer = {type, buffer, size};
    switch (command) {
    case PORT_INFO_ID: return answer_string(answer, port.id);
    case PORT_INFO_VENDOR: return answer_string(answer, VENDOR);
    case PORT_INFO_MODEL: return answer_string(answer, MODEL);
    case PORT_INFO_TLTYPE: return answer_string(answer, TRANSPORT);
    case PORT_INFO_MODULE: return answer_string(answer, port.module);
    case PORT_INFO_LITTLE_ENDIAN: return answer_bool(answer, 1);
    case PORT_INFO_BIG_ENDIAN: return answer_bool(answer, 0);
    case PORT_INFO_ACCESS_READ: return answer_bool(answer, 1);
    case PORT_INFO_ACCESS_WRITE: return answer_bool(answer, port.kind == MODULE_REMOTE_DEVICE);
    case PORT_INFO_ACCESS_NA:
    case PORT_INFO_ACCESS_NI: return answer_bool(answer, 0);
    case PORT_INFO_VERSION: return answer_string(answer, VERSION);
    case PORT_INFO_PORTNAME: return answer_string(answer, port.name);
    default: return fail(GC_ERR_NOT_IMPLEMENTED, "there is no such information about the port");
    }
}

static void url_of(const PortFacts *port, char *url, size_t size) {
    snprintf(url, size, "Local:virtual-camera-%s.xml;%x;%zx?SchemaVersion=1.1.0", port->name, XML_ADDRESS,
             port->xml_size);
}

GC_API GCGetPortURL(void *handle, char *url, size_t *size) {
    REQUIRE_PORT(handle, port);
    char text[128];
    url_of(&port, text, sizeof text);
    return answer_string((Answer){NULL, url, size}, text);
}

GC_API GCGetNumPortURLs(void *handle, uint32_t *count) {
    REQUIRE_PORT(handle, port);
    *count = 1;
    return GC_ERR_SUCCESS;
}

GC_API GCGetPortURLInfo(void *handle, uint32_t index, int32_t command, int32_t *type, void *buffer, size_t *size) {
    REQUIRE_PORT(handle, port);
    Answer answer = {type, buffer, size};
    char text[128];
    if (index) return fail(GC_ERR_INVALID_INDEX, "there is one URL, of index 0");
    switch (command) {
    case URL_INFO_URL: url_of(&port, text, sizeof text); return answer_string(answer, text);
    case URL_INFO_SCHEMA_VER_MAJOR:
    case URL_INFO_SCHEMA_VER_MINOR:
    case URL_INFO_FILE_VER_MAJOR: return answer_int32(answer, 1);
    case URL_INFO_FILE_VER_MINOR:
    case URL_INFO_FILE_VER_SUBMINOR: return answer_int32(answer, 0);
    case URL_INFO_FILE_REGISTER_ADDRESS: return answer_uint64(answer, XML_ADDRESS);
    case URL_INFO_FILE_SIZE: return answer_uint64(answer, port.xml_size);
    case URL_INFO_SCHEME: return answer_int32(answer, 0); /* local: in the module's own memory */
    case URL_INFO_FILENAME:
        snprintf(text, sizeof text, "virtual-camera-%s.xml", port.name);
        return answer_string(answer, text);
    default: return fail(GC_ERR_NOT_AVAILABLE, "there is no such information about the URL");
    }
}
