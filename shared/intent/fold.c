/* shared/intent/fold.c - UTF-8 decoding, and look-alikes to plain letters. Chat uses styled
 * Unicode for looks and to slip past word filters; to the model all of it is the same word. */
#include "shared/intent/text.h"

/* Latin-1 and Latin Extended-A, U+00C0 to U+017F, to base letters; '*' is no letter. */
static const char latin_base[] =
    "aaaaaaaceeeeiiiidnooooo*ouuuuytsaaaaaaaceeeeiiiidnooooo*ouuuuyty"  /* C0..FF */
    "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllll"  /* 100..13F */
    "lllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs"; /* 140..17F */

struct look_alike {
    uint16_t from;
    char to;
};

/* Sorted by code point. Greek, Cyrillic, phonetic small capitals, letter-like symbols. */
static const struct look_alike look_alikes[] = {
    {0x0131, 'i'}, {0x0261, 'g'}, {0x0262, 'g'},  {0x026a, 'i'},  {0x0274, 'n'}, {0x0280, 'r'},
    {0x028f, 'y'}, {0x0299, 'b'}, {0x029c, 'h'},  {0x029f, 'l'},  {0x0391, 'a'}, {0x0392, 'b'},
    {0x0395, 'e'}, {0x0396, 'z'}, {0x0397, 'h'},  {0x0399, 'i'},  {0x039a, 'k'}, {0x039c, 'm'},
    {0x039d, 'n'}, {0x039f, 'o'}, {0x03a1, 'p'},  {0x03a4, 't'},  {0x03a5, 'y'}, {0x03a7, 'x'},
    {0x03b1, 'a'}, {0x03b5, 'e'}, {0x03b7, 'n'},  {0x03b9, 'i'},  {0x03ba, 'k'}, {0x03bd, 'v'},
    {0x03bf, 'o'}, {0x03c1, 'p'}, {0x03c4, 't'},  {0x03c5, 'u'},  {0x03c7, 'x'}, {0x0405, 's'},
    {0x0406, 'i'}, {0x0408, 'j'}, {0x0410, 'a'},  {0x0412, 'b'},  {0x0415, 'e'}, {0x041a, 'k'},
    {0x041c, 'm'}, {0x041d, 'h'}, {0x041e, 'o'},  {0x0420, 'p'},  {0x0421, 'c'}, {0x0422, 't'},
    {0x0423, 'y'}, {0x0425, 'x'}, {0x0430, 'a'},  {0x0435, 'e'},  {0x043a, 'k'}, {0x043c, 'm'},
    {0x043e, 'o'}, {0x0440, 'p'}, {0x0441, 'c'},  {0x0442, 't'},  {0x0443, 'y'}, {0x0445, 'x'},
    {0x0455, 's'}, {0x0456, 'i'}, {0x0458, 'j'},  {0x0501, 'd'},  {0x051b, 'q'}, {0x051d, 'w'},
    {0x1d00, 'a'}, {0x1d04, 'c'}, {0x1d05, 'd'},  {0x1d07, 'e'},  {0x1d0a, 'j'}, {0x1d0b, 'k'},
    {0x1d0d, 'm'}, {0x1d0f, 'o'}, {0x1d18, 'p'},  {0x1d1b, 't'},  {0x1d1c, 'u'}, {0x1d20, 'v'},
    {0x1d21, 'w'}, {0x1d22, 'z'}, {0x2018, '\''}, {0x2019, '\''}, {0x201c, '"'}, {0x201d, '"'},
    {0x2026, '.'}, {0x2102, 'c'}, {0x210a, 'g'},  {0x210b, 'h'},  {0x210c, 'h'}, {0x210d, 'h'},
    {0x210e, 'h'}, {0x2110, 'i'}, {0x2111, 'i'},  {0x2112, 'l'},  {0x2113, 'l'}, {0x2115, 'n'},
    {0x2119, 'p'}, {0x211a, 'q'}, {0x211b, 'r'},  {0x211c, 'r'},  {0x211d, 'r'}, {0x2124, 'z'},
    {0x2128, 'z'}, {0x212c, 'b'}, {0x212d, 'c'},  {0x212f, 'e'},  {0x2130, 'e'}, {0x2131, 'f'},
    {0x2133, 'm'}, {0x2134, 'o'}, {0xa730, 'f'},  {0xa731, 's'},  {0xff0e, '.'},
};

uint32_t df_utf8_read(const unsigned char *bytes, size_t len, size_t *taken)
{
    uint32_t c = bytes[0];
    size_t more;
    uint32_t least;

    *taken = 1;
    if (c < 0x80)
        return c;
    if (c >= 0xc2 && c <= 0xdf) {
        more = 1, least = 0x80, c &= 0x1f;
    } else if (c >= 0xe0 && c <= 0xef) {
        more = 2, least = 0x800, c &= 0x0f;
    } else if (c >= 0xf0 && c <= 0xf4) {
        more = 3, least = 0x10000, c &= 0x07;
    } else {
        return 0xfffd;
    }
    if (more >= len)
        return 0xfffd;
    for (size_t i = 1; i <= more; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0xfffd;
        c = c << 6 | (bytes[i] & 0x3fu);
    }
    if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0xfffd;
    *taken = more + 1;
    return c;
}

static uint32_t fold_by_table(uint32_t c)
{
    size_t low = 0, high = sizeof look_alikes / sizeof look_alikes[0];

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (look_alikes[mid].from == c)
            return (uint32_t)look_alikes[mid].to;
        if (look_alikes[mid].from < c)
            low = mid + 1;
        else
            high = mid;
    }
    return c;
}

/* Characters that are not seen: joiners, direction marks, combining accents, skin tones, tags. */
static bool is_invisible(uint32_t c)
{
    return (c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
           (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0x1f3fb && c <= 0x1f3ff) || c >= 0xe0000 ||
           c == 0xfeff || c == 0xad || c == 0x20e3;
}

uint32_t df_char_fold(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (is_invisible(c))
        return 0;
    if (c >= 0xc0 && c <= 0x17f) {
        char base = latin_base[c - 0xc0];
        return base == '*' ? c : (uint32_t)base;
    }
    if (c >= 0xff01 && c <= 0xff5e) /* full width */
        return df_char_fold(c - 0xff01 + 0x21);
    if (c >= 0x1d400 && c <= 0x1d6a3) /* mathematical alphabets of 2 x 26 letters */
        return 'a' + (c - 0x1d400) % 26;
    if (c >= 0x1d7ce && c <= 0x1d7ff)
        return '0' + (c - 0x1d7ce) % 10;
    if (c >= 0x2460 && c <= 0x2468) /* circled digits */
        return '1' + (c - 0x2460);
    if (c >= 0x24b6 && c <= 0x24e9) /* circled letters */
        return 'a' + (c - 0x24b6) % 26;
    if ((c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
        (c >= 0x1f170 && c <= 0x1f189)) /* squared and negative letters, three rows of 32 */
        return 'a' + (c - 0x1f130) % 32;
    if (c >= 0x1e00 && c <= 0x1eff) /* Vietnamese and other doubly accented letters stay apart */
        return c | 1;
    if (c >= 0x0400 && c <= 0x042f) { /* Cyrillic capitals that look like nothing Latin */
        uint32_t plain = fold_by_table(c);
        return plain != c ? plain : c >= 0x0410 ? c + 32 : c + 80;
    }
    return fold_by_table(c);
}
