/* Runs ONNX graphs on DirectML with inputs and outputs bound, for rehearsals without Windows.
 *
 *   replay.exe JOB ANSWERS
 *
 * JOB, one command per line, its words parted by tabs, DIMS by commas and empty for a scalar:
 *   device                                copy a few numbers to the device and back
 *   graph FILE                            open a graph, from now on the one that is run
 *   feed NAME TYPE DIMS FILE              an input of the next run
 *   share PAST PRESENT TYPE DIMS FILE OUT
 *                                         one buffer on the device as both, filled from FILE
 *   fetch NAME OUT                        an output of the next run, written to OUT
 *   run                                   run, and forget the inputs and outputs
 * ANSWERS: `runtime VERSION` and `directml VERSION`, then per device, graph or run `seconds S` or
 * `error TEXT`; before that of a graph `placed PROVIDER NODES` for each provider that got nodes,
 * and `elsewhere PROVIDER OPERATOR NAME` for each node that did not go to DirectML.
 *
 * ONNX Runtime's functions are taken from its table by position, which never changes (it only
 * grows), so no header is needed.
 */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

enum {
    GetErrorMessage = 2,
    CreateEnvWithCustomLogger = 4,
    CreateSession = 7,
    CreateSessionFromArray = 8,
    CreateSessionOptions = 10,
    SetSessionExecutionMode = 13,
    DisableMemPattern = 17,
    SetSessionLogSeverityLevel = 22,
    CreateTensorAsOrtValue = 48,
    CreateTensorWithDataAsOrtValue = 49,
    GetTensorMutableData = 51,
    GetTensorElementType = 60,
    GetTensorShapeElementCount = 64,
    GetTensorTypeAndShape = 65,
    CreateMemoryInfo = 68,
    CreateCpuMemoryInfo = 69,
    GetAllocatorWithDefaultOptions = 78,
    ReleaseSession = 95,
    ReleaseValue = 96,
    CreateAllocator = 131,
    RunWithBinding = 133,
    CreateIoBinding = 134,
    ReleaseIoBinding = 135,
    BindInput = 136,
    BindOutput = 137,
    BindOutputToDevice = 138,
    GetBoundOutputValues = 140,
};
enum { API = 16, VERBOSE = 0, ERRORS = 3, SEQUENTIAL = 0, ON_DEVICE = 0, DEFAULT = 0 };
enum { SINGLE = 1, INTEGER = 6, HALF = 10 };
enum { LINE = 4096, WORDS = 7, MOST = 512, RANK = 8, TYPE_OF_X = 35, TYPE_OF_Y = 46 };

#define DIRECTML "DmlExecutionProvider"

typedef void *(*Function)();
__declspec(dllimport) const void *const *OrtGetApiBase(void);
__declspec(dllimport) void *OrtSessionOptionsAppendExecutionProvider_DML(void *options, int id);

typedef struct {
    void *value, *data; /* on the device if there is no data */
    int type;
    char file[LINE];
} Tensor;

static const Function *api;
static jmp_buf failed;
static FILE *answers;
static void *environment, *cpu, *graph, *binding;
static void *copies[HALF + 1]; /* graphs that copy tensors, by type */
static Tensor inputs[MOST], outputs[MOST];
static int input_count, output_count;

/* y = Identity(x), float16 of any shape, opset 13. */
static const unsigned char COPY[] =
    "\x08\x08\x3a\x2b\x0a\x10\x0a\x01x\x12\x01y\"\x08Identity\x12\x01" "cZ\x09\x0a\x01x\x12\x04"
    "\x0a\x02\x08\x0a" "b\x09\x0a\x01y\x12\x04\x0a\x02\x08\x0a" "B\x04\x0a\x00\x10\x0d";

static void fail(const char *reason) {
    fputs("error\t", answers);
    for (; *reason; reason++) fputc(*reason == '\n' || *reason == '\t' ? ' ' : *reason, answers);
    fputc('\n', answers);
    longjmp(failed, 1);
}

#define DO(name, ...) check(api[name](__VA_ARGS__))
static void check(void *status) {
    if (status) fail(((const char *(*)(void *))api[GetErrorMessage])(status));
}

static double now(void) {
    LARGE_INTEGER ticks, rate;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&rate);
    return (double)ticks.QuadPart / (double)rate.QuadPart;
}

static const wchar_t *wide(const char *text) {
    static wchar_t buffer[LINE];
    MultiByteToWideChar(CP_UTF8, 0, text, -1, buffer, LINE);
    return buffer;
}

/* The verbose log alone tells where nodes went: a line per provider, then its nodes. */
static void log_line(void *unused, int severity, const char *category, const char *id,
                     const char *place, const char *text) {
    static char provider[256] = DIRECTML, op[256], name[256];
    const char *count = strstr(text, "Number of nodes: "), *start = strstr(text, "laced on [");
    (void)unused, (void)severity, (void)category, (void)id;
    if (!strstr(place, "VerifyEachNodeIsAssignedToAnEp")) return;
    if (count && start && sscanf(start, "laced on [%255[^]]", provider) == 1)
        fprintf(answers, "placed\t%s\t%d\n", provider, atoi(count + strlen("Number of nodes: ")));
    else if (strcmp(provider, DIRECTML) && sscanf(text, " %255[^ (] (%255[^)]", op, name) == 2)
        fprintf(answers, "elsewhere\t%s\t%s\t%s\n", provider, op, name);
}

static void *options_for_device(int severity) {
    void *options;
    DO(CreateSessionOptions, &options);
    DO(DisableMemPattern, options); /* the provider demands this and the next */
    DO(SetSessionExecutionMode, options, SEQUENTIAL);
    DO(SetSessionLogSeverityLevel, options, severity);
    check(OrtSessionOptionsAppendExecutionProvider_DML(options, 0));
    return options;
}

static void open_graph(const char *file) {
    if (graph) api[ReleaseSession](graph);
    graph = NULL;
    double start = now();
    DO(CreateSession, environment, wide(file), options_for_device(VERBOSE), &graph);
    fprintf(answers, "seconds\t%.3f\n", now() - start);
}

static void *bound(void) {
    if (!graph) fail("there is no graph to run");
    if (!binding) DO(CreateIoBinding, graph, &binding);
    return binding;
}

static int type_of(const char *name) {
    if (!strcmp(name, "float16")) return HALF;
    if (!strcmp(name, "float32")) return SINGLE;
    if (!strcmp(name, "int32")) return INTEGER;
    fail("an unknown type of tensor");
    return 0;
}

static size_t width_of(int type) { return type == HALF ? 2 : 4; }

static size_t dims_of(char *text, int64_t *dims) {
    size_t rank = 0;
    for (char *at = text; *at && rank < RANK; at += strspn(at, ","))
        dims[rank++] = strtoll(at, &at, 10);
    return rank;
}

static Tensor *one_more(Tensor *list, int *count) {
    if (*count == MOST) fail("too many tensors");
    memset(&list[*count], 0, sizeof *list);
    return &list[(*count)++];
}

static Tensor *load(const char *type, char *shape, const char *file) {
    Tensor *input = one_more(inputs, &input_count);
    int64_t dims[RANK];
    size_t rank = dims_of(shape, dims), size = width_of(input->type = type_of(type));
    for (size_t axis = 0; axis < rank; axis++) size *= (size_t)dims[axis];
    FILE *stream = _wfopen(wide(file), L"rb");
    if (!stream) fail("an input's file is missing");
    input->data = malloc(size + 1); /* never NULL, though a past may be empty */
    size_t got = fread(input->data, 1, size, stream);
    fclose(stream);
    if (got != size) fail("an input's file is too short");
    DO(CreateTensorWithDataAsOrtValue, cpu, input->data, size, dims, rank, input->type,
       &input->value);
    return input;
}

static void save(void *value, const char *file) {
    void *shape, *data;
    int type;
    size_t count;
    DO(GetTensorTypeAndShape, value, &shape);
    DO(GetTensorElementType, shape, &type);
    DO(GetTensorShapeElementCount, shape, &count);
    DO(GetTensorMutableData, value, &data);
    FILE *stream = _wfopen(wide(file), L"wb");
    if (!stream) fail("an output cannot be written");
    size_t put = fwrite(data, width_of(type), count, stream);
    if (fclose(stream) || put != count) fail("an output cannot be written");
}

/* Copies `from` into `to`; without `to` into memory of the host, which is returned. */
static void *copy(int type, void *from, void *to) {
    void *copying, **values, *allocator;
    size_t count;
    if (!copies[type]) {
        unsigned char model[sizeof COPY - 1];
        memcpy(model, COPY, sizeof model);
        model[TYPE_OF_X] = model[TYPE_OF_Y] = (unsigned char)type;
        DO(CreateSessionFromArray, environment, model, sizeof model, options_for_device(ERRORS),
           &copies[type]);
    }
    DO(CreateIoBinding, copies[type], &copying);
    DO(BindInput, copying, "x", from);
    if (to) DO(BindOutput, copying, "y", to);
    else DO(BindOutputToDevice, copying, "y", cpu);
    DO(RunWithBinding, copies[type], NULL, copying);
    DO(GetAllocatorWithDefaultOptions, &allocator);
    DO(GetBoundOutputValues, copying, allocator, &values, &count);
    api[ReleaseIoBinding](copying);
    return values[0];
}

static void try_device(void) {
    static uint16_t sent[] = {0x3c00, 0xc000, 0x3555, 0x7bff}, *got;
    int64_t length = sizeof sent / sizeof *sent;
    void *value;
    double start = now();
    DO(CreateTensorWithDataAsOrtValue, cpu, sent, sizeof sent, &length, (size_t)1, HALF, &value);
    DO(GetTensorMutableData, copy(HALF, value, NULL), &got);
    if (memcmp(sent, got, sizeof sent)) fail("numbers do not come back from it as they were");
    fprintf(answers, "seconds\t%.3f\n", now() - start);
}

static void feed(char **word) {
    DO(BindInput, bound(), word[1], load(word[2], word[3], word[4])->value);
}

static void fetch(char **word) {
    strcpy(one_more(outputs, &output_count)->file, word[2]);
    DO(BindOutputToDevice, bound(), word[1], cpu);
}

static void share(char **word) {
    int64_t dims[RANK];
    size_t rank = dims_of(word[4], dims);
    void *place, *allocator;
    bound();
    Tensor *filling = load(word[3], word[4], word[5]);
    Tensor *buffer = one_more(outputs, &output_count);
    strcpy(buffer->file, word[6]);
    buffer->type = filling->type;
    DO(CreateMemoryInfo, "DML", ON_DEVICE, 0, DEFAULT, &place);
    DO(CreateAllocator, graph, place, &allocator);
    DO(CreateTensorAsOrtValue, allocator, dims, rank, buffer->type, &buffer->value);
    copy(buffer->type, filling->value, buffer->value);
    DO(BindInput, binding, word[1], buffer->value);
    DO(BindOutput, binding, word[2], buffer->value);
}

static void run(void) {
    void *allocator, **values;
    size_t count;
    double start = now();
    DO(RunWithBinding, graph, NULL, bound());
    double seconds = now() - start;
    DO(GetAllocatorWithDefaultOptions, &allocator);
    DO(GetBoundOutputValues, binding, allocator, &values, &count);
    for (int at = 0; at < output_count && at < (int)count; at++) {
        Tensor *output = &outputs[at];
        save(output->value ? copy(output->type, output->value, NULL) : values[at], output->file);
        api[ReleaseValue](values[at]);
    }
    fprintf(answers, "seconds\t%.3f\n", seconds);
}

static void forget(void) {
    for (; input_count; free(inputs[input_count].data))
        if (inputs[--input_count].value) api[ReleaseValue](inputs[input_count].value);
    for (; output_count;)
        if (outputs[--output_count].value) api[ReleaseValue](outputs[output_count].value);
    if (binding) api[ReleaseIoBinding](binding);
    binding = NULL;
}

static void obey(char **word, int words) {
    if (!strcmp(word[0], "device") && words == 1) try_device();
    else if (!strcmp(word[0], "graph") && words == 2) open_graph(word[1]);
    else if (!strcmp(word[0], "feed") && words == 5) feed(word);
    else if (!strcmp(word[0], "share") && words == 7) share(word);
    else if (!strcmp(word[0], "fetch") && words == 3) fetch(word);
    else if (!strcmp(word[0], "run") && words == 1) run();
    else fail("a line of the job cannot be understood");
}

/* Devices, graphs and runs are answered; what fails before a run is the answer to that run. */
static int is_answered(const char *command) {
    return !strcmp(command, "device") || !strcmp(command, "graph") || !strcmp(command, "run");
}

static void work_off(FILE *job) {
    static char line[LINE], *word[WORDS];
    static int words, skipping;
    while (fgets(line, sizeof line, job)) {
        line[strcspn(line, "\r\n")] = 0;
        words = 0;
        for (char *at = line; at && words < WORDS; words++) {
            word[words] = at;
            if ((at = strchr(at, '\t'))) *at++ = 0;
        }
        if (!skipping && setjmp(failed)) skipping = 1;
        else if (!skipping) obey(word, words);
        if (is_answered(word[0])) {
            forget();
            skipping = 0;
        }
        fflush(answers);
    }
}

static void tell_versions(const char *runtime) {
    static char info[LINE];
    VS_FIXEDFILEINFO *fixed;
    UINT length;
    fprintf(answers, "runtime\t%s\n", runtime);
    if (!GetFileVersionInfoA("DirectML.dll", 0, sizeof info, info)) return;
    if (!VerQueryValueA(info, "\\", (void **)&fixed, &length)) return;
    DWORD high = fixed->dwFileVersionMS, low = fixed->dwFileVersionLS;
    fprintf(answers, "directml\t%d.%d.%d\n", HIWORD(high), LOWORD(high), HIWORD(low));
}

int main(int argc, char **argv) {
    FILE *job = argc == 3 ? _wfopen(wide(argv[1]), L"r") : NULL;
    answers = argc == 3 ? _wfopen(wide(argv[2]), L"w") : NULL;
    if (!job || !answers) return 2;
    const void *const *base = OrtGetApiBase();
    tell_versions(((const char *(*)(void))base[1])());
    api = ((const Function *(*)(uint32_t))base[0])(API);
    if (setjmp(failed)) return 1;
    if (!api) fail("this ONNX Runtime is too old");
    DO(CreateEnvWithCustomLogger, log_line, NULL, ERRORS, "replay", &environment);
    DO(CreateCpuMemoryInfo, ON_DEVICE, DEFAULT, &cpu);
    work_off(job);
    fclose(answers);
    ExitProcess(0); /* at once: unloading drivers may crash */
}
