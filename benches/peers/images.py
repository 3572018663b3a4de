"""images.py OUT: image files in many valid forms, and their pixels as Pillow shows them: orientation applied, alpha laid on white, the first frame, 16-bit
samples by their high byte. `tests/image_files.rs` compares this project's pixels with them.

For each form OUT/NAME/{train,test}/{a,b}/image.EXT, and OUT/NAME.txt: the kind of comparison, height and width; then OUT/NAME.rgb and OUT/NAME.grey: the bytes.
Kinds: exact (lossless forms, and JPEG of flat blocks without subsampling), rounded (JPEG without subsampling, whose cosine transforms round in different ways),
subsampled (chroma is interpolated in different ways). Needs pillow and numpy."""

import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

HEIGHT, WIDTH = 37, 50
RANDOM = np.random.default_rng(1)


def photo(channels, height=HEIGHT, width=WIDTH):
    """Smooth colours with a little noise and an edge."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin(x / (5 + 3 * c) + c) * np.cos(y / (7 + c)) for c in range(channels)]
    planes = np.stack(planes, axis=-1) + RANDOM.normal(0, 3, (height, width, channels))
    planes[height // 3 :, : width // 4] = np.arange(channels) * 60 + 30
    return np.clip(planes, 0, 255).astype(np.uint8)


# ------------------------------------------------------------------ PNG


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack(values, depth):
    """Rows of samples as bytes."""
    if depth == 16:
        return values.astype(">u2").tobytes()
    if depth == 8:
        return values.astype(np.uint8).tobytes()
    bits = ((values[..., None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
    return np.packbits(bits.reshape(-1)).tobytes()


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def png(samples, colour, depth, before=(), after=(), interlaced=False):
    """`samples`: height x width x samples a pixel."""
    height, width = samples.shape[:2]
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    body = b"".join(b"\0" + pack(row.reshape(-1), depth) for part in passes if part.size for row in part)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    chunks = [chunk(b"IHDR", head), *before, chunk(b"IDAT", zlib.compress(body)), *after, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_forms():
    for interlaced in (False, True):
        tail = "-interlaced" if interlaced else ""
        for depth in (1, 2, 4, 8, 16):
            levels = RANDOM.integers(0, 1 << depth, (HEIGHT, WIDTH, 1))
            yield f"png-grey{depth}{tail}", png(levels, 0, depth, interlaced=interlaced)
        for depth in (8, 16):
            for name, colour, count in (("rgb", 2, 3), ("grey-alpha", 4, 2), ("rgba", 6, 4)):
                samples = RANDOM.integers(0, 1 << depth, (HEIGHT, WIDTH, count))
                yield f"png-{name}{depth}{tail}", png(samples, colour, depth, interlaced=interlaced)
        for depth in (1, 2, 4, 8):
            palette = RANDOM.integers(0, 256, (1 << depth, 3)).astype(np.uint8).tobytes()
            indices = RANDOM.integers(0, 1 << depth, (HEIGHT, WIDTH, 1))
            plte = chunk(b"PLTE", palette)
            yield f"png-palette{depth}{tail}", png(indices, 3, depth, [plte], interlaced=interlaced)
            trns = chunk(b"tRNS", RANDOM.integers(0, 256, 1 << depth).astype(np.uint8).tobytes())
            yield f"png-palette{depth}-alpha{tail}", png(indices, 3, depth, [plte, trns], interlaced=interlaced)
    levels = RANDOM.integers(0, 8, (HEIGHT, WIDTH, 1)) * 30
    yield "png-grey-key", png(levels, 0, 8, [chunk(b"tRNS", struct.pack(">H", 90))])
    rgb = RANDOM.integers(0, 2, (HEIGHT, WIDTH, 3)) * 200
    yield "png-rgb-key", png(rgb, 2, 8, [chunk(b"tRNS", struct.pack(">HHH", 200, 0, 200))])
    extra = [chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"tEXt", b"Comment\0text"), chunk(b"pHYs", struct.pack(">IIB", 1, 1, 0))]
    yield "png-chunks", png(photo(3), 2, 8, extra)
    for orientation in range(1, 9):
        where = {"before" if orientation % 2 else "after": [chunk(b"eXIf", tiff_exif(orientation))]}
        yield f"png-exif{orientation}", png(photo(3), 2, 8, **where)


def tiff_exif(orientation, order=">"):
    """TIFF data with nothing but the orientation."""
    head = b"MM\0*" if order == ">" else b"II*\0"
    return head + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


# ------------------------------------------------------------------ JPEG of flat blocks (DC coefficients alone)

DC_LENGTHS, AC_LENGTHS = [0, 1, 5, 1, 1, 1, 1, 1, 1] + [0] * 7, [1] + [0] * 15


def codes(lengths, values):
    table, code, at = {}, 0, 0
    for length, count in enumerate(lengths, 1):
        for _ in range(count):
            table[values[at]] = (code, length)
            code, at = code + 1, at + 1
        code <<= 1
    return table


DC = codes(DC_LENGTHS, range(12))


class Bits:
    """Bits of a scan; a byte 0xff is followed by 0."""

    def __init__(self):
        self.text = ""

    def dc(self, difference):
        size = abs(difference).bit_length()
        code, length = DC[size]
        self.text += f"{code:0{length}b}"
        if size:
            self.text += f"{difference if difference > 0 else difference + (1 << size) - 1:0{size}b}"

    def end_of_block(self):
        self.text += "0"

    def bytes(self):
        text = self.text + "1" * (-len(self.text) % 8)
        return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)).replace(b"\xff", b"\xff\0")


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def adobe(transform):
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def up(a, b):
    return -(-a // b)


def jpeg(sampling, head=JFIF, apart=False, progressive=False, restart=0, size=(HEIGHT, WIDTH), tail=b"", fill=b"", blocks=None):
    """A JPEG with blocks of random levels that vary slowly. `sampling`: (h, v) by component; `apart`: a scan per component."""
    height, width = size
    hmax, vmax = max(h for h, _ in sampling), max(v for _, v in sampling)
    mcus = (up(width, 8 * hmax), up(height, 8 * vmax))
    grid = [(up(up(width * h, hmax), 8), up(up(height * v, vmax), 8)) for h, v in sampling]
    # Chroma stays near grey, so that no colour is clipped: luma is then that of the colours shown.
    bounds = [(90, 165) if c == 0 else (106, 150) for c in range(len(sampling))]
    planes = blocks or [
        np.clip(RANDOM.integers(low, high) + np.cumsum(RANDOM.integers(-9, 10, (mcus[1] * v, mcus[0] * h)), axis=1), low, high)
        for (low, high), (h, v) in zip(bounds, sampling)
    ]
    frame = b"".join(bytes([c + 1, h << 4 | v, 0]) for c, (h, v) in enumerate(sampling))
    out = b"\xff\xd8" + head + segment(0xDB, bytes([0]) + bytes([8] * 64))
    out += segment(0xC2 if progressive else 0xC0, struct.pack(">BHHB", 8, height, width, len(sampling)) + frame)
    out += segment(0xC4, bytes([0x00, *DC_LENGTHS, *range(12)])) + segment(0xC4, bytes([0x10, *AC_LENGTHS, 0]))
    if restart:
        out += segment(0xDD, struct.pack(">H", restart))

    def scan(members, units, is_ac=False):
        spectral = [1, 63, 0] if is_ac else [0, 0, 0] if progressive else [0, 63, 0]
        data = fill + segment(0xDA, bytes([len(members), *sum(([c + 1, 0] for c in members), []), *spectral]))
        bits, last = Bits(), dict.fromkeys(members, 0)
        for at, unit in enumerate(units):
            if restart and at and at % restart == 0:
                data += bits.bytes() + bytes([0xFF, 0xD0 + (at // restart - 1) % 8])
                bits, last = Bits(), dict.fromkeys(members, 0)
            for c, x, y in unit:
                if not is_ac:
                    value = int(planes[c][y, x]) - 128
                    bits.dc(value - last[c])
                    last[c] = value
                if is_ac or not progressive:
                    bits.end_of_block()
        return data + bits.bytes()

    def single(c):
        return [[(c, x, y)] for y in range(grid[c][1]) for x in range(grid[c][0])]

    members = list(range(len(sampling)))
    if apart or len(members) == 1:
        out += b"".join(scan([c], single(c)) for c in members)
    else:
        blocks_of = lambda mx, my: [(c, mx * h + x, my * v + y) for c, (h, v) in enumerate(sampling) for y in range(v) for x in range(h)]
        out += scan(members, [blocks_of(mx, my) for my in range(mcus[1]) for mx in range(mcus[0])])
    if progressive:
        out += b"".join(scan([c], single(c), is_ac=True) for c in members)
    return out + b"\xff\xd9" + tail


FULL, SAMPLINGS = (1, 1), {"444": (1, 1), "422": (2, 1), "440": (1, 2), "420": (2, 2), "411": (4, 1)}


def flat_jpeg_forms():
    for name, luma in SAMPLINGS.items():
        for apart in (False, True):
            for size in ((HEIGHT, WIDTH), (24, 24), (480, 640)):
                if size == (480, 640) and not apart:
                    continue
                form = f"jpeg-{name}{'-apart' if apart else ''}-{size[0]}x{size[1]}"
                yield form, jpeg([luma, FULL, FULL], apart=apart, size=size)
    for name, luma in (("444", (1, 1)), ("420", (2, 2))):
        yield f"jpeg-{name}-progressive", jpeg([luma, FULL, FULL], progressive=True)
        yield f"jpeg-{name}-progressive-apart", jpeg([luma, FULL, FULL], progressive=True, apart=True)
        yield f"jpeg-{name}-restart", jpeg([luma, FULL, FULL], restart=2)
        yield f"jpeg-{name}-apart-restart", jpeg([luma, FULL, FULL], apart=True, restart=3)
    yield "jpeg-grey-flat", jpeg([FULL])
    yield "jpeg-grey-2x2", jpeg([(2, 2)])
    yield "jpeg-adobe-rgb", jpeg([FULL] * 3, head=adobe(0))
    yield "jpeg-adobe-rgb-apart", jpeg([FULL] * 3, head=adobe(0), apart=True)
    yield "jpeg-adobe-ycc", jpeg([FULL] * 3, head=adobe(1))
    yield "jpeg-no-header", jpeg([FULL] * 3, head=b"")
    yield "jpeg-cmyk", jpeg([FULL] * 4, head=adobe(0))
    yield "jpeg-cmyk-apart", jpeg([FULL] * 4, head=adobe(0), apart=True)
    yield "jpeg-ycck", jpeg([FULL] * 4, head=adobe(2))
    yield "jpeg-ycck-apart", jpeg([FULL] * 4, head=adobe(2), apart=True)
    yield "jpeg-cmyk-plain", jpeg([FULL] * 4, head=b"")
    yield "jpeg-trailing", jpeg([FULL] * 3, tail=b"\0\0\0\x18ftypmp42" + RANDOM.bytes(5000) + b"\xff\xda\xff\xd8" + RANDOM.bytes(99))
    yield "jpeg-two-images", jpeg([FULL] * 3, tail=jpeg([FULL] * 3))
    yield "jpeg-fill-bytes", jpeg([FULL] * 3, fill=b"\xff\xff\xff")
    yield "jpeg-stray-bytes", jpeg([FULL] * 3, head=JFIF + b"\0\x12")
    yield "jpeg-stray-bytes-progressive", jpeg([FULL] * 3, head=JFIF + b"\0\x12", progressive=True)
    preview = segment(0xE1, b"Exif\0\0" + tiff_exif(1) + jpeg([FULL], size=(8, 8)))
    yield "jpeg-preview", jpeg([FULL] * 3, head=preview)
    yield "jpeg-comment", jpeg([FULL] * 3, head=JFIF + segment(0xFE, b"\xff\xd9 text \xff\xda"))
    for orientation in range(1, 9):
        exif = segment(0xE1, b"Exif\0\0" + tiff_exif(orientation, "<" if orientation % 2 else ">"))
        yield f"jpeg-exif{orientation}", jpeg([FULL] * 3, head=exif)


# ------------------------------------------------------------------ Pillow's own files


def saved(array, extension, mode=None, **options):
    image = array if isinstance(array, Image.Image) else Image.fromarray(array.squeeze(), mode)
    path = f"{sys.argv[1]}/saved.{extension}"
    image.save(path, **options)
    with open(path, "rb") as file:
        data = file.read()
    os.remove(path)
    return data


def pillow_forms():
    for sampling in (0, 1, 2):
        for progressive in (False, True):
            name = ("444", "422", "420")[sampling] + ("-progressive" if progressive else "")
            options = {"quality": 90, "subsampling": sampling, "progressive": progressive}
            yield f"jpeg-photo-{name}", "jpg", saved(photo(3), "jpg", **options)
    yield "jpeg-photo-grey", "jpg", saved(photo(1), "jpg", quality=90)
    yield "jpeg-photo-grey-progressive", "jpg", saved(photo(1), "jpg", quality=90, progressive=True)
    yield "jpeg-photo-restart", "jpg", saved(photo(3), "jpg", quality=90, subsampling=0, restart_marker_blocks=3)
    yield "jpeg-photo-rgb", "jpg", saved(photo(3), "jpg", quality=90, keep_rgb=True, subsampling=0)
    yield "jpeg-photo-cmyk", "jpg", saved(photo(4), "jpg", "CMYK", quality=90)
    yield "jpeg-photo-tiny", "jpg", saved(photo(3, 1, 1), "jpg", quality=90)
    yield "jpeg-photo-high-quality", "jpg", saved(photo(3), "jpg", quality=100, subsampling=0)
    rgb, rgba, grey = photo(3), photo(4), photo(1)
    frames = [Image.fromarray(photo(3)) for _ in range(3)]
    more = {"save_all": True, "append_images": frames[1:]}
    yield "png-animated", "png", saved(frames[0], "png", **more)
    yield "webp-lossless", "webp", saved(rgb, "webp", lossless=True)
    yield "webp-lossless-alpha", "webp", saved(rgba, "webp", "RGBA", lossless=True, exact=True)
    yield "webp-lossy", "webp", saved(rgb, "webp", quality=90)
    yield "webp-lossy-alpha", "webp", saved(rgba, "webp", "RGBA", quality=90)
    yield "webp-animated", "webp", saved(frames[0], "webp", lossless=True, **more)
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        image = Image.fromarray(rgba, "RGBA") if mode == "RGBA" else Image.fromarray(rgb).convert(mode)
        yield f"bmp-{mode}", "bmp", saved(image, "bmp")
    palette = Image.fromarray(rgb).quantize(200)
    yield "gif", "gif", saved(palette, "gif")
    yield "gif-transparent", "gif", saved(palette, "gif", transparency=3)
    yield "gif-grey", "gif", saved(grey, "gif")
    yield "gif-animated", "gif", saved(frames[0], "gif", **more)
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"):
            if mode in ("RGBA", "CMYK"):
                image = Image.fromarray(rgba, mode)
            elif mode == "I;16":
                image = Image.fromarray(RANDOM.integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16))
            else:
                image = Image.fromarray(rgba, "RGBA").convert(mode) if mode == "LA" else Image.fromarray(rgb).convert(mode)
            yield f"tiff-{mode.replace(';', '')}-{compression or 'raw'}", "tif", saved(image, "tif", compression=compression)
    yield "tiff-big", "tiff", saved(rgb, "tif", big_tiff=True)
    yield "tiff-pages", "tif", saved(frames[0], "tif", **more)
    for orientation in (3, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"webp-exif{orientation}", "webp", saved(rgb, "webp", lossless=True, exif=exif)
        yield f"tiff-exif{orientation}", "tif", saved(rgb, "tif", tiffinfo={0x0112: orientation})


# ------------------------------------------------------------------ what Pillow shows


def shown(path):
    """The pixels of a file as RGB."""
    with Image.open(path) as image:
        image.seek(0)
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            high = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
            return Image.fromarray(high).convert("RGB")
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            return Image.alpha_composite(white, image).convert("RGB")
        return image.convert("RGB")


def kind(name):
    if name.startswith("webp-lossy") or any(f"-{s}" in name for s in ("422", "440", "420", "411")) or name == "jpeg-photo-cmyk":
        return "subsampled"
    return "rounded" if name.startswith("jpeg-photo") else "exact"


def main(out):
    os.makedirs(out, exist_ok=True)
    forms = [(name, "png", data) for name, data in png_forms()]
    forms += [(name, "jpg", data) for name, data in flat_jpeg_forms()]
    forms += list(pillow_forms())
    for name, extension, data in forms:
        for part in ("train", "test"):
            for label in "ab":
                os.makedirs(f"{out}/{name}/{part}/{label}", exist_ok=True)
                with open(f"{out}/{name}/{part}/{label}/image.{extension}", "wb") as file:
                    file.write(data)
        image = shown(f"{out}/{name}/train/a/image.{extension}")
        with open(f"{out}/{name}.txt", "w") as file:
            file.write(f"{kind(name)} {image.height} {image.width}\n")
        for mode, ending in (("RGB", "rgb"), ("L", "grey")):
            with open(f"{out}/{name}.{ending}", "wb") as file:
                file.write(image.convert(mode).tobytes())
    print(len(forms))


if __name__ == "__main__":
    main(sys.argv[1])
