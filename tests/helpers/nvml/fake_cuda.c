/* A libcuda.so.1 without hardware: FAKE_CUDA holds the PCI bus ids of its devices, apart by spaces. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NO_DEVICE = 100, INVALID_DEVICE = 101 };

static int nth(int device, char *text, int size)
{
    char all[256], *word;
    snprintf(all, sizeof all, "%s", getenv("FAKE_CUDA") ? getenv("FAKE_CUDA") : "");
    int place = 0;
    for (word = strtok(all, " "); word; word = strtok(NULL, " "), place++)
        if (place == device && text) snprintf(text, (size_t)size, "%s", word);
    return place;
}

int cuInit(unsigned int flags) { (void)flags; return nth(0, NULL, 0) ? SUCCESS : NO_DEVICE; }
int cuDeviceGetCount(int *count) { *count = nth(0, NULL, 0); return SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return SUCCESS; }
int cuDeviceGetPCIBusId(char *text, int size, int device) { return nth(device, text, size) > device ? SUCCESS : INVALID_DEVICE; }
