-- SPDX-License-Identifier: Apache-2.0
-- struct stats of wrk 4.0.0 to 4.2.0 (src/stats.h): a userdata of done() points to it.
done = function(summary, latency)
   local told, why = pcall(function()
      local ffi = require("ffi")
      ffi.cdef("struct ukprobe_stats { uint64_t count, limit, min, max, data[1]; };")
      local s = ffi.cast("struct ukprobe_stats **", latency)[0]
      local lines = {}
      for us = tonumber(s.min), tonumber(s.max) do
         local n = tonumber(s.data[us])
         if n > 0 then lines[#lines + 1] = string.format("ukprobe: %d %d\n", us, n) end
      end
      io.write(table.concat(lines), string.format("ukprobe: run %d %d\n", summary.duration, summary.requests))
   end)
   if not told then io.write("samples cannot be told: ", tostring(why), "\n") end
end
