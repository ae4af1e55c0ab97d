#include "scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_FRAMES 8
#define LARGEST_RING_BYTES ((size_t)512 << 20)
#define GREY_VALUES 65536

/* An off-axis interferogram (Leith & Upatnieks 1962): a slanted carrier, bent by one round cell that circles. */
static void draw_pattern(Scene *scene) {
    const double turn = 6.283185307179586, peak_rad = 12.0;
    uint32_t noise = 1;
    for (uint32_t frame = 0; frame < PATTERN_FRAMES; frame++) {
        double angle = turn * frame / PATTERN_FRAMES;
        double cell_y = 0.1 * sin(angle), cell_x = 0.1 * cos(angle);
        uint16_t *pixels = scene->pattern + (size_t)frame * scene->height * scene->width;
        for (uint32_t y = 0; y < scene->height; y++) {
            for (uint32_t x = 0; x < scene->width; x++) {
                double away_y = (double)y / scene->height - 0.5 - cell_y;
                double away_x = (double)x / scene->width - 0.5 - cell_x;
                double phase_rad = peak_rad * exp(-40.0 * (away_y * away_y + away_x * away_x));
                noise = noise * 1664525u + 1013904223u; /* Numerical Recipes' generator: cheap and repeatable */
                double grain = 0.02 * ((noise >> 16) / 65536.0 - 0.5);
                *pixels++ = (uint16_t)(4095.0 * (0.5 + 0.38 * cos(turn * (0.17 * y + 0.21 * x) + phase_rad) + grain));
            }
        }
    }
}

static void open_pattern(Scene *scene, uint32_t width, uint32_t height) {
    scene->pattern = calloc((size_t)PATTERN_FRAMES * height * width, sizeof *scene->pattern);
    scene->pixels = scene->pattern;
    scene->bytes_per_pixel = 2;
    scene->bit_depth = 12;
    scene->width = width;
    scene->height = height;
    scene->count = scene->pattern ? PATTERN_FRAMES : 0;
    if (scene->pattern) draw_pattern(scene);
}

void scene_open(Scene *scene, const char *path, uint32_t width, uint32_t height) {
    memset(scene, 0, sizeof *scene);
    const char *complaint = path && *path ? npy_open(scene, path) : NULL;
    if (complaint) fprintf(stderr, "virtual camera: cannot show %s: %s; showing the pattern\n", path, complaint);
    if (!scene->pixels) open_pattern(scene, width, height);
}

void scene_close(Scene *scene) {
    scene_release(scene);
    file_unmap(&scene->file);
    free(scene->pattern);
    memset(scene, 0, sizeof *scene);
}

static uint16_t pixel_at(const Scene *scene, size_t index) {
    return scene->bytes_per_pixel == 1 ? ((const uint8_t *)scene->pixels)[index]
                                       : ((const uint16_t *)scene->pixels)[index];
}

static void fill_grey_table(Scene *scene, double brightness) {
    uint32_t depth = significant_bits(scene->geometry.pixel_format);
    double full_scale = (double)((1u << depth) - 1);
    double gain = brightness * ldexp(1.0, (int)depth - (int)scene->bit_depth);
    for (uint32_t value = 0; value < GREY_VALUES; value++) {
        double grey = floor(value * gain); /* exact, hence lossless, at brightness 1 */
        scene->grey_of[value] = (uint16_t)(grey < full_scale ? grey : full_scale);
    }
    scene->table_brightness = brightness;
}

/* The mean of the sensor's pixels that make up the binned pixel (y, x). */
static uint16_t binned_at(const Scene *scene, size_t first, uint32_t y, uint32_t x) {
    Geometry window = scene->geometry;
    uint32_t sum = 0;
    for (uint32_t down = 0; down < window.binning_y; down++) {
        size_t row = first + (size_t)((y * window.binning_y + down) % scene->height) * scene->width;
        for (uint32_t right = 0; right < window.binning_x; right++)
            sum += pixel_at(scene, row + (x * window.binning_x + right) % scene->width);
    }
    return (uint16_t)(sum / (window.binning_y * window.binning_x));
}

/* A window larger than the recording shows it repeated, so that every window has a picture. */
static bool render(Scene *scene, uint32_t frame) {
    Geometry window = scene->geometry;
    uint16_t *grey = malloc((size_t)window.width * window.height * sizeof *grey);
    if (!grey) return false;
    size_t first = (size_t)frame * scene->height * scene->width;
    for (uint32_t y = 0; y < window.height; y++) {
        uint16_t *out = grey + (size_t)y * window.width;
        for (uint32_t x = 0; x < window.width; x++)
            out[x] = scene->grey_of[binned_at(scene, first, window.offset_y + y, window.offset_x + x)];
    }
    pack_pixels(scene->rendered[frame], grey, (size_t)window.width * window.height, window.pixel_format);
    free(grey);
    return true;
}

bool scene_prepare(Scene *scene, Geometry geometry, double brightness) {
    scene_release(scene);
    scene->geometry = geometry;
    scene->payload = payload_bytes(geometry);
    if (!scene->count || !scene->payload) return false;
    size_t fitting = LARGEST_RING_BYTES / scene->payload;
    if (scene->count > fitting) scene->count = fitting ? (uint32_t)fitting : 1;
    scene->rendered = calloc(scene->count, sizeof *scene->rendered);
    scene->rendered_at = calloc(scene->count, sizeof *scene->rendered_at);
    scene->grey_of = malloc(GREY_VALUES * sizeof *scene->grey_of);
    bool enough = scene->rendered && scene->rendered_at && scene->grey_of;
    for (uint32_t frame = 0; enough && frame < scene->count; frame++) {
        scene->rendered[frame] = malloc(scene->payload + 8); /* 8: the packers may write a whole last group */
        enough = scene->rendered[frame] && scene_frame(scene, frame, brightness);
    }
    if (!enough) scene_release(scene);
    return enough;
}

void scene_release(Scene *scene) {
    for (uint32_t frame = 0; scene->rendered && frame < scene->count; frame++) free(scene->rendered[frame]);
    free(scene->rendered);
    free(scene->rendered_at);
    free(scene->grey_of);
    scene->rendered = NULL;
    scene->rendered_at = NULL;
    scene->grey_of = NULL;
    scene->table_brightness = 0;
}

const uint8_t *scene_frame(Scene *scene, uint64_t number, double brightness) {
    uint32_t frame = (uint32_t)(number % scene->count);
    if (scene->rendered_at[frame] != brightness) {
        if (scene->table_brightness != brightness) fill_grey_table(scene, brightness);
        if (!render(scene, frame)) return NULL;
        scene->rendered_at[frame] = brightness;
    }
    return scene->rendered[frame];
}
