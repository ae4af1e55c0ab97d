/* The Pixel Format Naming Convention's mono formats (EMVA PFNC 2.4, §4): how grey values lie in memory. */
#include <string.h>

#include "description.h" /* made from device.xml by build.py */
#include "scene.h"

uint32_t bits_per_pixel(uint32_t pixel_format) { return (pixel_format >> 16) & 0xFF; }

uint32_t significant_bits(uint32_t pixel_format) {
    switch (pixel_format) {
    case PixelFormat_Mono8: return 8;
    case PixelFormat_Mono10:
    case PixelFormat_Mono10p:
    case PixelFormat_Mono10Packed: return 10;
    case PixelFormat_Mono16: return 16;
    default: return 12;
    }
}

size_t payload_bytes(Geometry geometry) {
    return ((size_t)geometry.width * geometry.height * bits_per_pixel(geometry.pixel_format) + 7) / 8;
}

/* "p": the bits of all pixels in one stream, least significant first. */
static void pack_mono10p(uint8_t *packed, const uint16_t *pixels, size_t count) {
    for (size_t i = 0; i + 3 < count; i += 4, packed += 5) {
        uint64_t bits = (uint64_t)pixels[i] | (uint64_t)pixels[i + 1] << 10 | (uint64_t)pixels[i + 2] << 20 |
                        (uint64_t)pixels[i + 3] << 30;
        for (int byte = 0; byte < 5; byte++) packed[byte] = (uint8_t)(bits >> (8 * byte));
    }
}

static void pack_mono12p(uint8_t *packed, const uint16_t *pixels, size_t count) {
    for (size_t i = 0; i + 1 < count; i += 2, packed += 3) {
        packed[0] = (uint8_t)pixels[i];
        packed[1] = (uint8_t)(pixels[i] >> 8 | pixels[i + 1] << 4);
        packed[2] = (uint8_t)(pixels[i + 1] >> 4);
    }
}

/* "Packed" (GigE Vision): two pixels' high bytes with their low bits together in the byte between. */
static void pack_gige(uint8_t *packed, const uint16_t *pixels, size_t count, unsigned low_bits) {
    unsigned mask = (1u << low_bits) - 1;
    for (size_t i = 0; i + 1 < count; i += 2, packed += 3) {
        packed[0] = (uint8_t)(pixels[i] >> low_bits);
        packed[1] = (uint8_t)((pixels[i] & mask) | (pixels[i + 1] & mask) << 4);
        packed[2] = (uint8_t)(pixels[i + 1] >> low_bits);
    }
}

void pack_pixels(uint8_t *packed, const uint16_t *pixels, size_t count, uint32_t pixel_format) {
    switch (pixel_format) {
    case PixelFormat_Mono8:
        for (size_t i = 0; i < count; i++) packed[i] = (uint8_t)pixels[i];
        break;
    case PixelFormat_Mono10p: pack_mono10p(packed, pixels, count); break;
    case PixelFormat_Mono12p: pack_mono12p(packed, pixels, count); break;
    case PixelFormat_Mono10Packed: pack_gige(packed, pixels, count, 2); break;
    case PixelFormat_Mono12Packed: pack_gige(packed, pixels, count, 4); break;
    default: memcpy(packed, pixels, count * sizeof *pixels); break;
    }
}
