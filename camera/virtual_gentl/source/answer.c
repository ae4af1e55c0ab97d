#include "answer.h"

#include <stdio.h>
#include <string.h>

#include "platform.h"

static THREAD_LOCAL GC_ERROR last_code = GC_ERR_SUCCESS;
static THREAD_LOCAL char last_sentence[256] = "no error";

GC_ERROR fail(GC_ERROR code, const char *sentence) {
    last_code = code;
    snprintf(last_sentence, sizeof last_sentence, "virtual camera: %s", sentence);
    return code;
}

GC_API GCGetLastError(GC_ERROR *code, char *text, size_t *size) {
    /* No fail() in here: asking for the last error must not change it. */
    size_t needed = strlen(last_sentence) + 1;
    if (!code || !size) return GC_ERR_INVALID_PARAMETER;
    *code = last_code;
    if (text && *size < needed) return GC_ERR_BUFFER_TOO_SMALL;
    if (text) memcpy(text, last_sentence, needed);
    *size = needed;
    return GC_ERR_SUCCESS;
}

static GC_ERROR give(Answer answer, int32_t type, const void *value, size_t bytes) {
    if (!answer.size) return fail(GC_ERR_INVALID_PARAMETER, "expected a pointer to the buffer's size, got NULL");
    if (answer.type) *answer.type = type;
    if (answer.buffer && *answer.size < bytes) return fail(GC_ERR_BUFFER_TOO_SMALL, "the buffer is too small");
    if (answer.buffer) memcpy(answer.buffer, value, bytes);
    *answer.size = bytes;
    return GC_ERR_SUCCESS;
}

GC_ERROR answer_string(Answer answer, const char *text) { return give(answer, INFO_STRING, text, strlen(text) + 1); }
GC_ERROR answer_int32(Answer answer, int32_t value) { return give(answer, INFO_INT32, &value, sizeof value); }
GC_ERROR answer_uint32(Answer answer, uint32_t value) { return give(answer, INFO_UINT32, &value, sizeof value); }
GC_ERROR answer_uint64(Answer answer, uint64_t value) { return give(answer, INFO_UINT64, &value, sizeof value); }
GC_ERROR answer_size(Answer answer, size_t value) { return give(answer, INFO_SIZE, &value, sizeof value); }
GC_ERROR answer_pointer(Answer answer, const void *value) { return give(answer, INFO_POINTER, &value, sizeof value); }

GC_ERROR answer_bool(Answer answer, int value) {
    bool8_t truth = value ? 1 : 0;
    return give(answer, INFO_BOOL8, &truth, sizeof truth);
}
