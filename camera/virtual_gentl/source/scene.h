/* What the camera sees: frames of a recording or a built-in pattern, rendered in the camera's pixel format. */
#ifndef VIRTUAL_GENTL_SCENE_H
#define VIRTUAL_GENTL_SCENE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform.h"

typedef struct {
    uint32_t width, height, offset_x, offset_y, binning_x, binning_y, pixel_format;
} Geometry;

typedef struct {
    MappedFile file;         /* the recording, or nothing for the pattern */
    const void *pixels;      /* (count, height, width) of uint8 or uint16, C order */
    uint32_t bytes_per_pixel;
    uint32_t width, height, count;
    uint32_t bit_depth;      /* significant bits of a recorded pixel */
    uint16_t *pattern;       /* owned; what `pixels` points to when there is no recording */

    Geometry geometry;       /* what the rendered frames are */
    size_t payload;          /* bytes of one of them */
    uint8_t **rendered;      /* `count` frames, packed */
    double *rendered_at;     /* the brightness each was rendered at; 0 for not yet */
    uint16_t *grey_of;       /* recorded value → value at `table_brightness` */
    double table_brightness;
} Scene;

/* Opens the recording at `path`, or the built-in pattern of (height, width) when `path` is empty or unreadable. */
void scene_open(Scene *scene, const char *path, uint32_t width, uint32_t height);
void scene_close(Scene *scene);

/* Makes room for frames of `geometry`, and renders all of them. False when there is not enough memory. */
bool scene_prepare(Scene *scene, Geometry geometry, double brightness);
void scene_release(Scene *scene);

/* Frame `number` (modulo the frames there are), `payload` bytes, rendered anew when the brightness has changed. */
const uint8_t *scene_frame(Scene *scene, uint64_t number, double brightness);

/* packing.c */
uint32_t bits_per_pixel(uint32_t pixel_format);
uint32_t significant_bits(uint32_t pixel_format);
size_t payload_bytes(Geometry geometry);
void pack_pixels(uint8_t *packed, const uint16_t *pixels, size_t count, uint32_t pixel_format);

/* npy.c: points `scene` into the file of frames at `path`; on failure says why and changes nothing. */
const char *npy_open(Scene *scene, const char *path);

#endif
