/* A libnvidia-ml.so.1 without hardware: answers what the file named by FAKE_NVML says.
 *
 * Each line is `name value`: `init 9`, `devices 1`, `name NVIDIA GeForce GTX 1060 3GB`, `utilization 19`,
 * `power_mw 61500`, ... `missing power` makes one call NOT_SUPPORTED, `lost_after 20` loses the GPU after so many
 * utilization calls. Layouts and codes: NVIDIA's nvml.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, GPU_IS_LOST = 15 };
typedef struct { unsigned int gpu, memory; } Utilization;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct {
    char busIdLegacy[16];
    unsigned int domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} Pci;

static int calls;

static int setting(const char *name, char *text, size_t size)
{
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256], key[64];
    int found = 0, used;
    while (file && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%63s %n", key, &used) == 1 && strcmp(key, name) == 0) {
            snprintf(text, size, "%s", line + used);
            found = 1;
        }
    }
    if (file) fclose(file);
    return found;
}

static long long number(const char *name, long long otherwise)
{
    char text[256];
    return setting(name, text, sizeof text) ? atoll(text) : otherwise;
}

static int state(const char *field)
{
    char text[256];
    long long lost_after = number("lost_after", -1);
    if (lost_after >= 0 && calls > lost_after) return GPU_IS_LOST;
    if (setting("missing", text, sizeof text) && strcmp(text, field) == 0) return NOT_SUPPORTED;
    return SUCCESS;
}

int nvmlInit_v2(void) { return (int)number("init", 0); }
int nvmlInitWithFlags(unsigned int flags) { (void)flags; return nvmlInit_v2(); }
int nvmlShutdown(void) { return SUCCESS; }
int nvmlSystemGetDriverVersion(char *text, unsigned int size) { snprintf(text, size, "550.54.14"); return SUCCESS; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 12040; return SUCCESS; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12040; return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = (unsigned int)number("devices", 1); return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle)
{
    if (index >= (unsigned int)number("devices", 1)) return INVALID;
    *handle = (void *)(size_t)(index + 1);
    return SUCCESS;
}
int nvmlDeviceGetName(void *gpu, char *text, unsigned int size)
{
    char name[128] = "Fake GPU";
    (void)gpu;
    setting("name", name, sizeof name);
    snprintf(text, size, "%s", name);
    return SUCCESS;
}
int nvmlDeviceGetUUID(void *gpu, char *text, unsigned int size)
{
    snprintf(text, size, "GPU-0000-%zu", (size_t)gpu);
    return SUCCESS;
}
int nvmlDeviceGetPciInfo_v3(void *gpu, Pci *pci)
{
    memset(pci, 0, sizeof *pci);
    snprintf(pci->busId, sizeof pci->busId, "00000000:%02zX:00.0", (size_t)gpu);
    return SUCCESS;
}
int nvmlDeviceGetCudaComputeCapability(void *gpu, int *major, int *minor)
{
    (void)gpu;
    *major = 6;
    *minor = 1;
    return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(void *gpu, Memory *memory)
{
    (void)gpu;
    memory->total = 3072ULL << 20;
    memory->used = (unsigned long long)number("used_mib", 900) << 20;
    memory->free = memory->total - memory->used;
    return state("memory");
}
int nvmlDeviceGetUtilizationRates(void *gpu, Utilization *rates)
{
    (void)gpu;
    calls++;
    rates->gpu = (unsigned int)number("utilization", 19);
    rates->memory = 7;
    return state("utilization");
}
int nvmlDeviceGetPowerUsage(void *gpu, unsigned int *milliwatts)
{
    (void)gpu;
    *milliwatts = (unsigned int)number("power_mw", 61500);
    return state("power");
}
int nvmlDeviceGetClockInfo(void *gpu, int type, unsigned int *mhz)
{
    (void)gpu;
    *mhz = type == 1 ? 1708 : 4004;
    return state("clock");
}
int nvmlDeviceGetTemperature(void *gpu, int sensor, unsigned int *celsius)
{
    (void)gpu;
    (void)sensor;
    *celsius = 61;
    return state("temperature");
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *gpu, unsigned long long *reasons)
{
    (void)gpu;
    *reasons = (unsigned long long)number("throttle", 0);
    return state("throttle");
}
int nvmlDeviceGetTotalEnergyConsumption(void *gpu, unsigned long long *millijoules)
{
    (void)gpu;
    *millijoules = 0;
    return NOT_SUPPORTED;
}
