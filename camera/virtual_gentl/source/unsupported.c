/* Functions of GenTL 1.6 that this producer has no use for. They must be exported all the same: bindings look every
 * function up when they load a producer. */
#include "answer.h"
#include "camera.h"

#define NOT_IMPLEMENTED(name, ...)                                                                                     \
    GC_API name(__VA_ARGS__);                                                                                          \
    GC_API name(__VA_ARGS__) {                                                                                         \
        REQUIRE_LIBRARY();                                                                                             \
        return fail(GC_ERR_NOT_IMPLEMENTED, #name " is not implemented");                                              \
    }

#ifdef _MSC_VER
#pragma warning(disable : 4100)
#else
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif

NOT_IMPLEMENTED(DSGetBufferChunkData, void *stream, void *buffer, void *chunks, size_t *count)
NOT_IMPLEMENTED(DSGetNumBufferParts, void *stream, void *buffer, uint32_t *count)
NOT_IMPLEMENTED(DSGetBufferPartInfo, void *stream, void *buffer, uint32_t index, int32_t command, int32_t *type,
                void *data, size_t *size)
NOT_IMPLEMENTED(DSAnnounceCompositeBuffer, void *stream, size_t segments, void **memory, size_t *sizes, void *user,
                void **buffer)
NOT_IMPLEMENTED(DSGetBufferInfoStacked, void *stream, void *buffer, void *entries, size_t count)
NOT_IMPLEMENTED(DSGetBufferPartInfoStacked, void *stream, void *buffer, uint32_t index, void *entries, size_t count)
NOT_IMPLEMENTED(DSGetNumFlows, void *stream, uint32_t *count)
NOT_IMPLEMENTED(DSGetFlowInfo, void *stream, uint32_t index, int32_t command, int32_t *type, void *data, size_t *size)
NOT_IMPLEMENTED(DSGetNumBufferSegments, void *stream, void *buffer, uint32_t *count)
NOT_IMPLEMENTED(DSGetBufferSegmentInfo, void *stream, void *buffer, uint32_t index, int32_t command, int32_t *type,
                void *data, size_t *size)
