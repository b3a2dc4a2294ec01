// The Python face of the engine. Everything that comes from Python is checked here.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "batch.hpp"
#include "observation.hpp"
#include "palette.hpp"

namespace py = pybind11;
using nes::i32;
using nes::u8;

namespace {

constexpr int kMostConsoles = 4096;

// Refuses to let two threads use one batch at the same time.
class Use {
  public:
    explicit Use(std::atomic_flag& flag) : flag_(flag) {
        if (flag_.test_and_set(std::memory_order_acquire)) {
            throw std::runtime_error("another thread is using this batch; give every thread its own.");
        }
    }
    ~Use() { flag_.clear(std::memory_order_release); }

  private:
    std::atomic_flag& flag_;
};

std::string shape_text(const std::vector<py::ssize_t>& shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        text += (i ? ", " : "") + std::to_string(shape[i]);
    }
    return text + "]";
}

template <typename T>
void check_aligned(const void* data, const std::string& name) {
    if (reinterpret_cast<std::uintptr_t>(data) % alignof(T) != 0) {
        throw py::value_error(name + " does not begin at a multiple of " + std::to_string(alignof(T)) +
                              " bytes.");
    }
}

// The array's data, if it is an aligned C-contiguous array of this type and shape; a clear error
// otherwise.
template <typename T>
T* checked(const py::array& array, const std::string& name, std::vector<py::ssize_t> shape, bool writes) {
    if (!py::dtype::of<T>().is(array.dtype()) && !array.dtype().equal(py::dtype::of<T>())) {
        throw py::type_error(name + " has dtype " + std::string(py::str(array.dtype())) + ", not " +
                             std::string(py::str(py::dtype::of<T>())) + ".");
    }
    const std::vector<py::ssize_t> given(array.shape(), array.shape() + array.ndim());
    if (given != shape) {
        throw py::value_error(name + " has shape " + shape_text(given) + ", not " + shape_text(shape) + ".");
    }
    if (!(array.flags() & py::array::c_style)) throw py::value_error(name + " is not C-contiguous.");
    if (writes && !array.writeable()) throw py::value_error(name + " is read-only.");
    check_aligned<T>(array.data(), name);
    return static_cast<T*>(const_cast<void*>(array.data()));
}

class PyBatch {
  public:
    PyBatch(const py::bytes& rom, int size) : batch_(make(rom, size)) {}

    // Python can make an object without initialising it; pybind11 then allocates it here, and no
    // constructor runs. Zeros are a batch_ that is not there.
    static void* operator new(std::size_t size) {
        void* const memory = ::operator new(size);
        return std::memset(memory, 0, size);
    }
    static void operator delete(void* memory) { ::operator delete(memory); }

    int size() const { return batch().size(); }

    py::array ram() {
        // The view keeps the batch alive, and with it the memory.
        return py::array_t<u8>({size(), nes::kRamSize}, batch().ram(), py::cast(this));
    }

    void run_frame(int i, u8 buttons) {
        const Use use(busy_);
        batch().run_frame(index(i), buttons);
    }
    void press_reset(int i) {
        const Use use(busy_);
        batch().console(index(i)).reset();
    }
    void set_close(bool close) {
        const Use use(busy_);
        batch().set_close(close);
    }
    void set_start(int i) {
        const Use use(busy_);
        batch().set_start(index(i));
    }
    void reset(int i) {
        const Use use(busy_);
        batch().reset(index(i));
    }

    py::tuple step(const py::array& buttons, const py::array& frames, const py::array& observation) {
        const py::ssize_t size = batch().size();
        const Use use(busy_);
        const u8* button_data = checked<u8>(buttons, "buttons", {size}, false);
        const i32* frame_data = checked<i32>(frames, "frames", {size}, false);
        u8* observation_data = checked<u8>(
            observation, "observation", {size, nes::kObservationSize, nes::kObservationSize}, true);
        for (py::ssize_t i = 0; i < size; ++i) {
            if (frame_data[i] < 0) {
                throw py::value_error("frames[" + std::to_string(i) + "] is " +
                                      std::to_string(frame_data[i]) + "; it must not be negative.");
            }
        }
        py::array_t<i32> ran(size);
        py::array_t<bool> ended(size);
        i32* ran_data = ran.mutable_data();
        bool* ended_data = ended.mutable_data();
        {
            const py::gil_scoped_release release;
            batch().step(button_data, frame_data, observation_data, ran_data, ended_data);
        }
        return py::make_tuple(ran, ended);
    }

    py::tuple play(int i, const py::array& buttons, int frames, const py::array& snapshots) {
        const Use use(busy_);
        index(i);
        if (frames < 1) throw py::value_error("frames is " + std::to_string(frames) + "; it must be positive.");
        if (buttons.ndim() != 1) throw py::value_error("buttons must have one dimension.");
        const py::ssize_t count = buttons.shape(0);
        const u8* button_data = checked<u8>(buttons, "buttons", {count}, false);
        const py::ssize_t size = sizeof(nes::Snapshot);
        u8* snapshot_data = checked<u8>(snapshots, "snapshots", {count, size}, true);
        check_aligned<nes::Snapshot>(snapshot_data, "snapshots");
        nes::Batch::Played played;
        {
            const py::gil_scoped_release release;
            played = batch().play(i, button_data, static_cast<int>(count), frames,
                                  reinterpret_cast<nes::Snapshot*>(snapshot_data));
        }
        return py::make_tuple(played.buttons, played.frames, played.ended);
    }

    py::array screen(int i) {
        const Use use(busy_);
        py::array_t<u8> rgb({nes::kScreenHeight, nes::kScreenWidth, 3});
        u8* out = rgb.mutable_data();
        const u8* picture = batch().picture(index(i));
        for (int pixel = 0; pixel < nes::Batch::kPictureSize; ++pixel) {
            const nes::u32 colour = nes::kPalette[picture[pixel]];
            *out++ = static_cast<u8>(colour >> 16);
            *out++ = static_cast<u8>(colour >> 8);
            *out++ = static_cast<u8>(colour);
        }
        return rgb;
    }

    py::array observe(int i) {
        const Use use(busy_);
        py::array_t<u8> grey({nes::kObservationSize, nes::kObservationSize});
        batch().observe(index(i), grey.mutable_data());
        return grey;
    }

    py::bytes save(int i) {
        const Use use(busy_);
        nes::Snapshot snapshot;
        nes::save_snapshot(batch().console(index(i)), snapshot);
        return {reinterpret_cast<const char*>(&snapshot), sizeof snapshot};
    }

    void load(int i, const py::bytes& snapshot) {
        const Use use(busy_);
        const std::string_view bytes = snapshot;
        nes::load_snapshot(batch().console(index(i)), bytes.data(), bytes.size());
    }

  private:
    static std::unique_ptr<nes::Batch> make(const py::bytes& rom, int size) {
        if (size < 1 || size > kMostConsoles) {
            throw py::value_error("a batch has 1 to " + std::to_string(kMostConsoles) + " consoles, not " +
                                  std::to_string(size) + ".");
        }
        const std::string_view bytes = rom;
        return std::make_unique<nes::Batch>(reinterpret_cast<const u8*>(bytes.data()), bytes.size(), size);
    }

    nes::Batch& batch() const {
        if (!batch_) throw std::runtime_error("this batch was never initialised; call Batch(rom, size).");
        return *batch_;
    }

    int index(int i) const {
        if (i < 0 || i >= batch().size()) {
            throw py::index_error("there is no console " + std::to_string(i) + " in a batch of " +
                                  std::to_string(batch().size()) + ".");
        }
        return i;
    }

    std::unique_ptr<nes::Batch> batch_;
    std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace

PYBIND11_MODULE(_native, m) {
    m.doc() = "NES consoles (mapper 0) for learning, in batches; see docs/engine.md.";
    m.attr("SOURCE_DIGEST") = SOURCE_DIGEST;  // defined by setup.py
    m.attr("SNAPSHOT_SIZE") = sizeof(nes::Snapshot);
    m.attr("SNAPSHOT_RAM") = offsetof(nes::Snapshot, ram);
    py::class_<PyBatch>(m, "Batch")
        .def(py::init<const py::bytes&, int>(), py::arg("rom"), py::arg("size"))
        .def("__len__", &PyBatch::size)
        .def_property_readonly("ram", &PyBatch::ram)
        .def("press_reset", &PyBatch::press_reset, py::arg("console"))
        .def("run_frame", &PyBatch::run_frame, py::arg("console"), py::arg("buttons"))
        .def("set_close", &PyBatch::set_close, py::arg("close"))
        .def("set_start", &PyBatch::set_start, py::arg("console"))
        .def("reset", &PyBatch::reset, py::arg("console"))
        .def("step", &PyBatch::step, py::arg("buttons"), py::arg("frames"), py::arg("observation"))
        .def("play", &PyBatch::play, py::arg("console"), py::arg("buttons"), py::arg("frames"),
             py::arg("snapshots"))
        .def("screen", &PyBatch::screen, py::arg("console"))
        .def("observe", &PyBatch::observe, py::arg("console"))
        .def("save", &PyBatch::save, py::arg("console"))
        .def("load", &PyBatch::load, py::arg("console"), py::arg("snapshot"));
}
