/** A network live: every map, every shortcut to cut, down to the arithmetic of one pixel. */
import { closeUp } from "../parts/closeup.js";
import { microscope } from "../parts/microscope.js";

export const featureMicroscope = {
  name: "feature-microscope",
  words: {
    en: {
      title: "Feature microscope: a trained network, running in this page",
      hint: "Try: draw, and watch the maps. Cut one connection, then all. Pick a map, then one of its pixels, and check the sum.",
    },
    zh: {
      title: "特征显微镜：一个训练好的网络，就在本页运行",
      hint: "试一试：动手画，观察特征图的变化。切断一条连接，再全部切断。点选一张特征图和其中一个像素，核对它的算式。",
    },
  },
  render: (context) => microscope(context, closeUp),
};
