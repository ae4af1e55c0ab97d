/* How every GenTL function answers: a typed value into the caller's buffer, or an error with a sentence. */
#ifndef VIRTUAL_GENTL_ANSWER_H
#define VIRTUAL_GENTL_ANSWER_H

#include "gentl.h"

/* Where the caller wants an answer: `type` may be NULL; with `buffer` NULL only the size needed is told. */
typedef struct {
    int32_t *type;
    void *buffer;
    size_t *size;
} Answer;

GC_ERROR answer_string(Answer answer, const char *text);
GC_ERROR answer_int32(Answer answer, int32_t value);
GC_ERROR answer_uint32(Answer answer, uint32_t value);
GC_ERROR answer_uint64(Answer answer, uint64_t value);
GC_ERROR answer_size(Answer answer, size_t value);
GC_ERROR answer_pointer(Answer answer, const void *value);
GC_ERROR answer_bool(Answer answer, int value);

/* Remembers the sentence for GCGetLastError on this thread and returns `code`. */
GC_ERROR fail(GC_ERROR code, const char *sentence);

#endif
