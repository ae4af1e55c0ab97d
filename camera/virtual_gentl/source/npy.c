/* Reads NumPy's .npy files (format 1.0 to 3.0) of uint8 or uint16 frames, (N, H, W) or (H, W), in place. */
#include <stdio.h>
#include <string.h>

#include "scene.h"

#define HEADER_LIMIT 1024

static uint32_t bits_of_largest(const uint16_t *pixels, size_t count) {
    uint16_t seen = 0;
    for (size_t i = 0; i < count; i++) seen |= pixels[i];
    if (seen < 1u << 10) return seen < 1u << 8 ? 8 : 10;
    return seen < 1u << 12 ? 12 : seen < 1u << 14 ? 14 : 16;
}

/* The header's text in `text`; returns the offset of the pixels, or 0. */
static size_t read_header(const MappedFile *file, char text[HEADER_LIMIT]) {
    size_t start, length;
    if (file->size < 12 || memcmp(file->bytes, "\x93NUMPY", 6) != 0) return 0;
    if (file->bytes[6] == 1) {
        start = 10;
        length = (size_t)file->bytes[8] | (size_t)file->bytes[9] << 8;
    } else {
        uint32_t wide;
        memcpy(&wide, file->bytes + 8, sizeof wide);
        start = 12;
        length = wide;
    }
    if (length >= HEADER_LIMIT || start + length > file->size) return 0;
    memcpy(text, file->bytes + start, length);
    text[length] = '\0';
    return start + length;
}

static const char *understand(Scene *scene, const MappedFile *file) {
    char header[HEADER_LIMIT];
    uint32_t count = 1, height = 0, width = 0;
    size_t offset = read_header(file, header);
    const char *shape = offset ? strstr(header, "'shape':") : NULL;
    if (!shape) return "it is no .npy file";
    if (strstr(header, "'fortran_order': True")) return "its frames are in Fortran order; save a C-ordered copy";
    uint32_t bytes_per_pixel = strstr(header, "|u1") ? 1 : strstr(header, "<u2") ? 2 : 0;
    if (!bytes_per_pixel) return "its pixels are neither uint8 nor uint16";
    if (sscanf(shape, "'shape': (%u, %u, %u)", &count, &height, &width) != 3) {
        count = 1;
        if (sscanf(shape, "'shape': (%u, %u)", &height, &width) != 2) return "its shape is neither (N, H, W) nor (H, W)";
    }
    if (!count || height < 16 || width < 16 || height > 16384 || width > 16384)
        return "its frames are not between 16 and 16384 pixels a side";
    if ((file->size - offset) / bytes_per_pixel / width / height < count) return "it is truncated";
    scene->pixels = file->bytes + offset;
    scene->bytes_per_pixel = bytes_per_pixel;
    scene->count = count;
    scene->height = height;
    scene->width = width;
    scene->bit_depth = bytes_per_pixel == 1 ? 8 : bits_of_largest(scene->pixels, (size_t)count * height * width);
    return NULL;
}

const char *npy_open(Scene *scene, const char *path) {
    MappedFile file = {0};
    if (!file_map(path, &file)) return "it cannot be read";
    const char *complaint = understand(scene, &file);
    if (complaint)
        file_unmap(&file);
    else
        scene->file = file;
    return complaint;
}
