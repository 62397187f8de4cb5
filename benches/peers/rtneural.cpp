// One round of RTNeural's LSTM and GRU layers with their shapes known to the compiler, on Eigen: checks and times one step at every size. It has no simple
// recurrent layer.
//
//     rtneural FOLDER FILE [SIZE...]    reads what `peers prepare` wrote into FOLDER, writes rows to FILE
//
// The rows are those of the Rust program: peer,cell,precision,i,h,ns,difference. So is the way of timing: see latch_benches::peers::clock.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config.h" // names the namespace of the next
#include "gru/gru.h"
#include "lstm/lstm.h"

namespace {

constexpr int ROWS = 8;
constexpr int CHECKED_STEPS = 16;

[[noreturn]] void fail(const std::string& what)
{
    std::fprintf(stderr, "error: %s\n", what.c_str());
    std::exit(1);
}

using Matrix = std::vector<std::vector<float>>;

// The file of a cell: I and H, then inputs, kernel, recurrent kernel, bias, with a GRU the recurrent product's bias, and the answer. Row gate * H + unit,
// gates i, f, g, o or z, r, n.
struct Cell {
    std::vector<float> rows, bias, recurrent_bias, answer;
    Matrix kernel, recurrent_kernel;

    Cell(const std::string& path, uint32_t inputs, uint32_t units, uint32_t gates, bool has_recurrent_bias)
    {
        std::ifstream file(path, std::ios::binary);
        uint32_t shape[2] = {};
        file.read(reinterpret_cast<char*>(shape), sizeof shape);
        if(!file || shape[0] != inputs || shape[1] != units)
            fail("cannot read " + path);
        auto take = [&](size_t count) {
            std::vector<float> values(count);
            file.read(reinterpret_cast<char*>(values.data()), count * sizeof(float));
            return values;
        };
        // RTNeural wants a row an input, and the same order of gates.
        auto transposed = [&](size_t columns) {
            const auto values = take(gates * units * columns);
            Matrix matrix(columns, std::vector<float>(gates * units));
            for(size_t row = 0; row < gates * units; ++row)
                for(size_t column = 0; column < columns; ++column)
                    matrix[column][row] = values[row * columns + column];
            return matrix;
        };
        rows = take(ROWS * inputs);
        kernel = transposed(inputs);
        recurrent_kernel = transposed(units);
        bias = take(gates * units);
        if(has_recurrent_bias)
            recurrent_bias = take(gates * units);
        answer = take(units);
        if(!file)
            fail(path + " is too short");
    }
};

template <typename Step>
double nanoseconds(Step&& step)
{
    using Clock = std::chrono::steady_clock;
    size_t number = 0;
    auto run = [&](size_t calls) {
        const auto began = Clock::now();
        for(size_t call = 0; call < calls; ++call)
            step(number++ % ROWS);
        return std::chrono::duration<double, std::nano>(Clock::now() - began).count();
    };
    double spent = 0;
    size_t warm = 0;
    for(; spent < 4e6; warm += 16)
        spent += run(16);
    const double call = std::max(spent / warm, 1.0);
    const auto batch = static_cast<size_t>(std::max(20e3 / call, 1.0));
    const auto wanted = static_cast<size_t>(std::max(std::min(std::max(2000.0, 12e6 / call), 120e6 / call), 200.0));
    std::vector<double> times;
    for(size_t index = 0; index < (wanted + batch - 1) / batch; ++index)
        times.push_back(run(batch) / batch);
    std::sort(times.begin(), times.end());
    return (times[(times.size() - 1) / 2] + times[times.size() / 2]) / 2;
}

// Checks a layer whose weights are set, then times it.
template <int I, int H, typename Layer>
std::string measure(Layer& layer, const Cell& cell, const char* name)
{
    layer.reset();
    std::vector<Eigen::Matrix<float, I, 1>, Eigen::aligned_allocator<Eigen::Matrix<float, I, 1>>> rows(ROWS);
    for(int row = 0; row < ROWS; ++row)
        for(int column = 0; column < I; ++column)
            rows[row](column) = cell.rows[row * I + column];
    for(int step = 0; step < CHECKED_STEPS; ++step)
        layer.forward(rows[step % ROWS]);
    double difference = 0;
    for(int unit = 0; unit < H; ++unit)
        difference = std::max(difference, std::abs(static_cast<double>(layer.outs(unit)) - cell.answer[unit]));
    const double ns = nanoseconds([&](size_t row) { layer.forward(rows[row]); });
    char line[160];
    std::snprintf(line, sizeof line, "rtneural-eigen,%s,f32,%d,%d,%.3f,%.3e\n", name, I, H, ns, difference);
    return line;
}

// The rows of a size: an LSTM's, and where there are as many inputs as units a GRU's.
template <int I, int H>
std::string rows_of(const std::string& folder)
{
    const auto file = std::to_string(I) + "x" + std::to_string(H) + ".cell";
    const Cell cell(folder + "/lstm-" + file, I, H, 4, false);
    // Its matrices are part of the object: too large for the stack.
    auto lstm = std::make_unique<RTNeural::LSTMLayerT<float, I, H>>();
    lstm->setWVals(cell.kernel);
    lstm->setUVals(cell.recurrent_kernel);
    lstm->setBVals(cell.bias);
    auto text = measure<I, H>(*lstm, cell, "lstm");
    if constexpr(I == H) {
        const Cell cell(folder + "/gru-" + file, I, H, 3, true);
        auto gru = std::make_unique<RTNeural::GRULayerT<float, I, H>>();
        gru->setWVals(cell.kernel);
        gru->setUVals(cell.recurrent_kernel);
        gru->setBVals({ cell.bias, cell.recurrent_bias });
        text += measure<I, H>(*gru, cell, "gru");
    }
    return text;
}

} // namespace

int main(int count, char** arguments)
{
    if(count < 3)
        fail("usage: rtneural FOLDER FILE [SIZE...]");
    const std::string folder = arguments[1];
    std::vector<std::string> sizes(arguments + 3, arguments + count);
    if(sizes.empty())
        sizes = { "16x16", "32x32", "64x64", "128x128", "256x256", "1x40" };
    std::string text = "peer,cell,precision,i,h,ns,difference\n";
    for(const auto& size : sizes) {
        if(size == "16x16")
            text += rows_of<16, 16>(folder);
        else if(size == "32x32")
            text += rows_of<32, 32>(folder);
        else if(size == "64x64")
            text += rows_of<64, 64>(folder);
        else if(size == "128x128")
            text += rows_of<128, 128>(folder);
        else if(size == "256x256")
            text += rows_of<256, 256>(folder);
        else if(size == "1x40")
            text += rows_of<1, 40>(folder);
        else
            fail("no layer of the size " + size + " is compiled in");
    }
    std::ofstream file(arguments[2]);
    file << text;
    if(!file.flush())
        fail(std::string("cannot write ") + arguments[2]);
}
