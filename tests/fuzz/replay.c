/* tests/fuzz/replay.c - runs a fuzz target over the files of the folders (or files) given, for
 * compilers without libFuzzer. Fails when there was nothing to run. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;
    int failed = 1;

    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0 && fseek(file, 0, SEEK_SET) == 0)
        data = malloc(size > 0 ? (size_t)size : 1); /* exact size: ASan sees a read past the end */
    if (data != NULL && fread(data, 1, (size_t)size, file) == (size_t)size) {
        (void)LLVMFuzzerTestOneInput(data, (size_t)size);
        failed = 0;
    } else {
        perror(path);
    }
    free(data);
    if (file != NULL)
        (void)fclose(file);
    return failed;
}

/* Adds to *count the files run; returns how many could not be. */
static int replay_path(const char *path, int *count)
{
    struct stat info;
    DIR *folder;
    int failed = 0;

    if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        *count += 1;
        return replay_file(path);
    }
    folder = opendir(path);
    if (folder == NULL) {
        perror(path);
        return 1;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char name[4096];
        int n = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || n < 0 || (size_t)n >= sizeof name)
            continue;
        failed += replay_path(name, count);
    }
    (void)closedir(folder);
    return failed;
}

int main(int argc, char **argv)
{
    int count = 0, failed = 0;

    for (int i = 1; i < argc; i++)
        failed += replay_path(argv[i], &count);
    printf("%d inputs replayed, %d failed\n", count, failed);
    return count == 0 || failed != 0;
}
