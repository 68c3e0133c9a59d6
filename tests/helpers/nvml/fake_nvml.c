/* A libnvidia-ml.so.1 without hardware: answers what the file named by FAKE_NVML says.
 *
 * Each line is `key value...`; a value may bear the second from which it holds: `utilization 10 90@1.5` is 10, then 90
 * from 1.5 s after the library was loaded; `init 9 0#3` is 9, then 0 from the third call of nvmlInit on.
 * `gpu1.power 250000` is for one GPU, and goes before `power`. Units are NVML's own. What has no key and no default here
 * is NOT_SUPPORTED. `fail.KEY CODE` answers with an NVML error, `fail.all 15@2` loses the GPU after 2 s,
 * `block.KEY 5@1` makes calls hang for 5 s from second 1 on, `crash.KEY 1@2` makes them crash from second 2 on.
 * Layouts and codes: NVIDIA's nvml.h.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };
typedef unsigned int uint;
typedef unsigned long long ull;
typedef struct { uint gpu, memory; } Utilization;
typedef struct { ull total, free, used; } Memory;
typedef struct { uint version; ull total, reserved, free, used; } Memory2;
typedef struct { char busIdLegacy[16]; uint domain, bus, device, pciDeviceId, pciSubSystemId; char busId[32]; } Pci;
typedef struct { ull time_us; union { double d; uint ui; ull ull_; } value; } Sample;
typedef struct { uint field, scope; long long time, latency; int type, code; union { double d; ull ull_; } value; } Field;
typedef struct { uint pid; ull memory; uint gpu_instance, compute_instance; } Process;
typedef struct { uint pid; ull time_us; uint sm, memory, encoder, decoder; } ProcessSample;
typedef struct { uint vgpu; ull time_us; ull sm, memory, encoder, decoder; } VgpuSample;
typedef struct { uint id; int code; double value; const char *short_name, *long_name, *unit; } Metric;
typedef struct { uint version, count; void *first, *second; Metric metrics[]; } Metrics;

typedef struct { char key[48], text[208]; } Line;
static Line lines[256];
static int count, inits;
static double loaded_s;

static double now_s(void)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    return now.tv_sec + now.tv_usec / 1e6;
}

__attribute__((constructor)) static void load(void)
{
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256];
    int used;
    count = 0;
    loaded_s = now_s();
    while (file && count < 256 && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%47s %n", lines[count].key, &used) == 1) {
            strncpy(lines[count].text, line + used, sizeof lines[0].text - 1);
            count++;
        }
    }
    if (file) fclose(file);
}

static const char *line_of(void *gpu, const char *key)
{
    char own[64];
    const char *found = NULL;
    snprintf(own, sizeof own, "gpu%zu.%s", ((size_t)gpu & 0xff) - 1, key);
    for (int place = 0; place < count; place++) {
        if (gpu && strcmp(lines[place].key, own) == 0) return lines[place].text;
        if (strcmp(lines[place].key, key) == 0) found = lines[place].text;
    }
    return found;
}

/* The value that holds at a time: the last whose second has come. */
static int value_at(void *gpu, const char *key, double at_s, double *value)
{
    const char *text = line_of(gpu, key);
    char *next;
    int found = 0;
    while (text && *text) {
        double number = strtod(text, &next);
        int holds = 1;
        if (next == text) break;
        if (*next == '@') holds = strtod(next + 1, &next) <= at_s - loaded_s;
        else if (*next == '#') holds = (int)strtol(next + 1, &next, 10) <= inits;
        if (holds) { *value = number; found = 1; }
        text = next + strspn(next, " ");
    }
    return found;
}

static double get(void *gpu, const char *key, double otherwise)
{
    double value = otherwise;
    value_at(gpu, key, now_s(), &value);
    return value;
}

static int state(void *gpu, const char *key)
{
    char name[64];
    double seconds = 0;
    int code;
    snprintf(name, sizeof name, "block.%s", key);
    if (value_at(gpu, name, now_s(), &seconds) && seconds > 0) usleep((useconds_t)(seconds * 1e6));
    snprintf(name, sizeof name, "crash.%s", key);
    if (value_at(gpu, name, now_s(), &seconds) && seconds > 0) raise(SIGSEGV);
    if ((code = (int)get(gpu, "fail.all", 0))) return code;
    snprintf(name, sizeof name, "fail.%s", key);
    return (int)get(gpu, name, 0);
}

static int answer(void *gpu, const char *key, uint *value)
{
    double found;
    int code = state(gpu, key);
    if (code) return code;
    if (!value_at(gpu, key, now_s(), &found)) return NOT_SUPPORTED;
    *value = (uint)found;
    return SUCCESS;
}

static int answer_or(void *gpu, const char *key, double otherwise, uint *value)
{
    *value = (uint)get(gpu, key, otherwise);
    return state(gpu, key);
}

static int answer_text(void *gpu, const char *key, char *text, uint size, const char *otherwise)
{
    const char *found = line_of(gpu, key);
    if (!found && !otherwise) return NOT_SUPPORTED;
    snprintf(text, size, "%s", found ? found : otherwise);
    return state(gpu, key);
}

static void *handle_of(uint index) { return (void *)(size_t)(index + 1); }

int nvmlInitWithFlags(uint flags) { (void)flags; inits++; return (int)get(NULL, "init", state(NULL, "init")); }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }
int nvmlSystemGetDriverVersion(char *text, uint size) { return answer_text(NULL, "driver", text, size, "550.54.14"); }
int nvmlSystemGetCudaDriverVersion(int *version) { return answer_or(NULL, "cuda", 12040, (uint *)version); }
int nvmlDeviceGetCount_v2(uint *devices) { return answer_or(NULL, "devices", 1, devices); }
int nvmlDeviceGetHandleByIndex_v2(uint index, void **handle)
{
    if (index >= (uint)get(NULL, "devices", 1)) return INVALID;
    *handle = handle_of(index);
    return state(*handle, "handle");
}
int nvmlDeviceGetUUID(void *gpu, char *text, uint size)
{
    char otherwise[64];
    snprintf(otherwise, sizeof otherwise, "%s-0000-%zu", (size_t)gpu >> 8 ? "MIG" : "GPU", (size_t)gpu);
    return answer_text(gpu, "uuid", text, size, otherwise);
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle)
{
    char own[96];
    for (uint index = 0; index < (uint)get(NULL, "devices", 1); index++) {
        nvmlDeviceGetUUID(handle_of(index), own, sizeof own);
        if (strcmp(own, uuid) == 0) {
            *handle = handle_of(index);
            return state(*handle, "handle");
        }
    }
    return NOT_FOUND;
}
int nvmlDeviceGetName(void *gpu, char *text, uint size) { return answer_text(gpu, "name", text, size, "Fake GPU"); }
int nvmlDeviceGetVbiosVersion(void *gpu, char *text, uint size) { return answer_text(gpu, "vbios", text, size, NULL); }
int nvmlDeviceGetPciInfo_v3(void *gpu, Pci *pci)
{
    memset(pci, 0, sizeof *pci);
    snprintf(pci->busId, sizeof pci->busId, "00000000:%02zX:00.0", (size_t)gpu);
    return state(gpu, "pci");
}
int nvmlDeviceGetCudaComputeCapability(void *gpu, int *major, int *minor)
{
    uint tens = 61;
    int code = answer_or(gpu, "capability", 61, &tens);
    *major = (int)tens / 10;
    *minor = (int)tens % 10;
    return code;
}
int nvmlDeviceGetMemoryInfo(void *gpu, Memory *memory)
{
    memory->total = (ull)get(gpu, "total_mib", 3072) << 20;
    memory->used = (ull)get(gpu, (size_t)gpu >> 8 ? "mig_used_mib" : "used_mib", 900) << 20;
    memory->free = memory->total - memory->used;
    return state(gpu, "memory");
}
int nvmlDeviceGetMemoryInfo_v2(void *gpu, Memory2 *memory)
{
    Memory old;
    int code = nvmlDeviceGetMemoryInfo(gpu, &old);
    double reserved = 0;
    if (!code && !value_at(gpu, "reserved_mib", now_s(), &reserved)) return NOT_SUPPORTED;
    memory->total = old.total;
    memory->reserved = (ull)reserved << 20;
    memory->used = old.used;
    memory->free = old.free - memory->reserved;
    return code;
}
int nvmlDeviceGetUtilizationRates(void *gpu, Utilization *rates)
{
    rates->memory = (uint)get(gpu, "memory_utilization", 7);
    return answer_or(gpu, "utilization", 19, &rates->gpu);
}
int nvmlDeviceGetSamples(void *gpu, int kind, ull seen_us, int *type, uint *number, Sample *samples)
{
    const char *key = kind == 1 ? "utilization" : "memory_utilization";
    double now = now_s(), from = loaded_s > seen_us / 1e6 ? loaded_s : seen_us / 1e6, value = 0;
    int code = state(gpu, "samples");
    uint place = 0;
    if (code || !line_of(gpu, "sample_s")) return code ? code : NOT_SUPPORTED;
    *type = 1;
    for (double at = from + get(gpu, "sample_s", 1); at <= now && (!samples || place < *number); place++) {
        if (samples) {
            value_at(gpu, key, at, &value);
            samples[place].time_us = (ull)(at * 1e6);
            samples[place].value.ui = (uint)value;
        }
        at += get(gpu, "sample_s", 1);
    }
    *number = place;
    return place ? SUCCESS : NOT_FOUND;
}
int nvmlDeviceGetPowerUsage(void *gpu, uint *milliwatts) { return answer_or(gpu, "power", 61500, milliwatts); }
int nvmlDeviceGetEnforcedPowerLimit(void *gpu, uint *milliwatts) { return answer(gpu, "power_limit", milliwatts); }
int nvmlDeviceGetPowerManagementDefaultLimit(void *gpu, uint *mw) { return answer(gpu, "power_limit", mw); }
int nvmlDeviceGetTotalEnergyConsumption(void *gpu, ull *millijoules)
{
    double rate_mw, base = 1e9;
    int code = state(gpu, "energy");
    if (code || !value_at(gpu, "energy_mw", now_s(), &rate_mw)) return code ? code : NOT_SUPPORTED;
    *millijoules = (ull)(base + rate_mw * (now_s() - loaded_s));
    return SUCCESS;
}
int nvmlDeviceGetClockInfo(void *gpu, int type, uint *mhz)
{
    static const char *keys[] = {"graphics_clock", "sm_clock", "memory_clock", "video_clock"};
    if (type == 1 || type == 2) return answer_or(gpu, keys[type], type == 1 ? 1708 : 4004, mhz);
    return answer(gpu, keys[type & 3], mhz);
}
int nvmlDeviceGetMaxClockInfo(void *gpu, int type, uint *mhz)
{
    static const char *keys[] = {"graphics_clock_max", "sm_clock_max", "memory_clock_max", "video_clock_max"};
    return answer(gpu, keys[type & 3], mhz);
}
int nvmlDeviceGetTemperature(void *gpu, int sensor, uint *celsius)
{
    (void)sensor;
    return answer_or(gpu, "temperature", 61, celsius);
}
int nvmlDeviceGetTemperatureThreshold(void *gpu, int kind, uint *celsius)
{
    static const char *keys[] = {"temperature_shutdown", "temperature_slowdown", "temperature_memory", "temperature_max"};
    return answer(gpu, keys[kind & 3], celsius);
}
static int reasons_of(void *gpu, const char *key, ull *reasons)
{
    uint found = 0;
    int code = answer_or(gpu, "throttle", 0, &found);
    int own = (int)get(gpu, key, 0);
    *reasons = found;
    return own ? own : code;
}
int nvmlDeviceGetCurrentClocksEventReasons(void *gpu, ull *reasons) { return reasons_of(gpu, "fail.event_reasons", reasons); }
int nvmlDeviceGetCurrentClocksThrottleReasons(void *gpu, ull *reasons) { return reasons_of(gpu, "fail.old_reasons", reasons); }
int nvmlDeviceGetPerformanceState(void *gpu, int *pstate) { return answer(gpu, "pstate", (uint *)pstate); }
int nvmlDeviceGetFanSpeed(void *gpu, uint *percent) { return answer(gpu, "fan", percent); }
int nvmlDeviceGetNumGpuCores(void *gpu, uint *cores) { return answer(gpu, "cores", cores); }
int nvmlDeviceGetMemoryBusWidth(void *gpu, uint *bits) { return answer(gpu, "bus_bits", bits); }
int nvmlDeviceGetPersistenceMode(void *gpu, int *mode) { return answer(gpu, "persistence", (uint *)mode); }
int nvmlDeviceGetDisplayActive(void *gpu, int *active) { return answer(gpu, "display", (uint *)active); }
int nvmlDeviceGetVirtualizationMode(void *gpu, ull *mode)
{
    uint found = 0;
    int code = answer(gpu, "virtualization", &found);
    *mode = found;
    return code;
}
int nvmlDeviceGetDriverModel_v2(void *gpu, uint *now, uint *next) { *next = 0; return answer(gpu, "driver_model", now); }
int nvmlDeviceGetEccMode(void *gpu, uint *now, uint *next) { *next = 0; return answer(gpu, "ecc_mode", now); }
int nvmlDeviceGetTotalEccErrors(void *gpu, int kind, int counter, ull *errors)
{
    uint found = 0;
    int code = answer(gpu, kind ? "ecc_uncorrected" : "ecc_corrected", &found);
    (void)counter;
    *errors = found;
    return code;
}
int nvmlDeviceGetRemappedRows(void *gpu, uint *corrected, uint *uncorrected, uint *pending, uint *failed)
{
    *uncorrected = *pending = *failed = 0;
    return answer(gpu, "remapped", corrected);
}
int nvmlDeviceGetCurrPcieLinkGeneration(void *gpu, uint *value) { return answer(gpu, "pcie_gen", value); }
int nvmlDeviceGetMaxPcieLinkGeneration(void *gpu, uint *value) { return answer(gpu, "pcie_gen_max", value); }
int nvmlDeviceGetCurrPcieLinkWidth(void *gpu, uint *value) { return answer(gpu, "pcie_width", value); }
int nvmlDeviceGetMaxPcieLinkWidth(void *gpu, uint *value) { return answer(gpu, "pcie_width_max", value); }
int nvmlDeviceGetPcieReplayCounter(void *gpu, uint *value) { return answer(gpu, "pcie_replays", value); }
int nvmlDeviceGetPcieThroughput(void *gpu, int way, uint *kib) { return answer(gpu, way ? "pcie_rx" : "pcie_tx", kib); }
int nvmlDeviceGetFieldValues(void *gpu, int number, Field *fields)
{
    char key[32];
    double value;
    for (int place = 0; place < number; place++) {
        snprintf(key, sizeof key, "field.%u", fields[place].field);
        fields[place].type = 3;
        fields[place].code = value_at(gpu, key, now_s(), &value) ? SUCCESS : NOT_SUPPORTED;
        fields[place].value.ull_ = (ull)value;
    }
    return state(gpu, "fields");
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *gpu, uint *number, Process *found)
{
    const char *text = line_of(gpu, "processes");
    uint place = 0, room = found ? *number : 0;
    int code = state(gpu, "processes"), used;
    if (code || !text) return code ? code : NOT_SUPPORTED;
    for (uint pid, mib; sscanf(text, "%u:%u %n", &pid, &mib, &used) == 2; text += used, place++)
        if (place < room) found[place] = (Process){pid, (ull)mib << 20, 0, 0};
    *number = place;
    return place > room ? INSUFFICIENT_SIZE : SUCCESS;
}
int nvmlDeviceGetProcessUtilization(void *gpu, ProcessSample *found, uint *number, ull seen_us)
{
    const char *text = line_of(gpu, "process_sm");
    uint place = 0, room = found ? *number : 0;
    int code = state(gpu, "process_sm"), used;
    (void)seen_us;
    if (code || !text) return code ? code : NOT_SUPPORTED;
    for (uint pid, sm; sscanf(text, "%u:%u %n", &pid, &sm, &used) == 2; text += used, place++)
        if (place < room) found[place] = (ProcessSample){pid, (ull)(now_s() * 1e6), sm, 0, 0, 0};
    *number = place;
    return place > room ? INSUFFICIENT_SIZE : SUCCESS;
}
int nvmlDeviceGetMigMode(void *gpu, uint *now, uint *next)
{
    uint instances = 0;
    int code = answer(gpu, "mig", &instances);
    *now = *next = instances > 0;
    return code;
}
int nvmlDeviceGetMaxMigDeviceCount(void *gpu, uint *most) { *most = 7; return state(gpu, "mig"); }
int nvmlDeviceGetMigDeviceHandleByIndex(void *gpu, uint index, void **handle)
{
    if (index >= (uint)get(gpu, "mig", 0)) return NOT_FOUND;
    *handle = (void *)((size_t)gpu + ((size_t)(index + 1) << 8));
    return SUCCESS;
}
int nvmlDeviceGetGpuInstanceId(void *gpu, uint *number) { *number = (uint)((size_t)gpu >> 8) + 6; return SUCCESS; }
int nvmlDeviceGetActiveVgpus(void *gpu, uint *number, uint *vgpus)
{
    uint active = 0, room = vgpus ? *number : 0;
    int code = answer(gpu, "vgpus", &active);
    for (uint place = 0; place < active && place < room; place++) vgpus[place] = place + 1;
    *number = active;
    return code ? code : active > room ? INSUFFICIENT_SIZE : SUCCESS;
}
int nvmlVgpuInstanceGetFbUsage(uint vgpu, ull *bytes) { *bytes = (ull)get(NULL, "vgpu_mib", 0) << 20; return vgpu ? 0 : INVALID; }
int nvmlDeviceGetVgpuUtilization(void *gpu, ull seen_us, int *type, uint *number, VgpuSample *found)
{
    uint sm = 0, room = found ? *number : 0;
    int code = answer(gpu, "vgpu_sm", &sm);
    (void)seen_us;
    *type = 1;
    *number = 2;
    for (uint place = 0; place < room; place++) found[place] = (VgpuSample){place + 1, (ull)(now_s() * 1e6), sm, 0, 0, 0};
    return code ? code : room < 2 ? INSUFFICIENT_SIZE : SUCCESS;
}
int nvmlGpmQueryDeviceSupport(void *gpu, uint *version_and_support)
{
    return answer_or(gpu, "gpm", 0, &version_and_support[1]);
}
int nvmlGpmSampleAlloc(void **sample) { *sample = calloc(1, sizeof(void *)); return SUCCESS; }
int nvmlGpmSampleFree(void *sample) { free(sample); return SUCCESS; }
int nvmlGpmSampleGet(void *gpu, void *sample) { *(void **)sample = gpu; return state(gpu, "gpm"); }
int nvmlGpmMigSampleGet(void *gpu, uint instance, void *sample)
{
    *(void **)sample = (void *)((size_t)gpu + ((size_t)(instance - 6) << 8));
    return state(gpu, "gpm");
}
int nvmlGpmMetricsGet(Metrics *metrics)
{
    char key[32];
    for (uint place = 0; place < metrics->count; place++) {
        Metric *metric = &metrics->metrics[place];
        void *gpu = *(void **)metrics->first;
        snprintf(key, sizeof key, (size_t)gpu >> 8 ? "mig_gpm.%u" : "gpm.%u", metric->id);
        metric->code = value_at(gpu, key, now_s(), &metric->value) ? SUCCESS : NOT_SUPPORTED;
    }
    return SUCCESS;
}
